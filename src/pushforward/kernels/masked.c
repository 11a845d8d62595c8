/* A masked autoregressive layer in one pass, either way: net and scalar map of one position after the other.

   Each hidden unit is computed once, from what its mask lets it see. A tile of the batch goes through all positions before the next one,
   so that its activations stay in the cache. */

#ifndef REAL
#include <string.h>

#include "elementary.h"
#include "structures.h"

#define SOURCE "masked.c"
#include "twice.h"
#else

#include "products.h"
#include "masked.h"
#include "parts.h"

/* z = x exp(s) + h_0, or its inverse. */
static void NAME(affine)(const REAL *restrict y, const REAL *restrict h, ptrdiff_t row, REAL *restrict out, REAL *restrict slope, REAL bound,
                         int inverse) {
    const int n = COLUMNS;
    EACH {
        REAL s = NAME(bounded)(h[row + i], bound);
        slope[i] = inverse ? -s : s;
        out[i] = inverse ? (y[i] - h[i]) * EXP(-s) : y[i] * EXP(s) + h[i];
    }
}

void NAME(masked_tile)(const Layer *m, ptrdiff_t start, REAL *memory) {
    const ptrdiff_t area = (ptrdiff_t)m->width * COLUMNS, dim = m->dim, row = NAME(stride_of)(m);
    const int n = m->batch - start < COLUMNS ? m->batch - start : COLUMNS;
    REAL *units = NAME(units_of)(m, start, memory), *stream = memory + (m->depth + 1) * area, *known = stream + area, *h = known + dim * COLUMNS;
    REAL y[COLUMNS], value[COLUMNS], slope[COLUMNS], ldj[COLUMNS] = {0};
    for (int p = 0; p < dim; p++) {
        const ptrdiff_t at = m->order[p] * m->batch + start;
        NAME(load)(y, (const REAL *)m->x + at, n);
        if (p < m->kept) {
            memcpy(known + p * COLUMNS, y, sizeof(y));
            memcpy((REAL *)m->out + at, y, n * sizeof(REAL));
            continue;
        }
        const REAL *here = NAME(visit)(m, p, start, n, known, units, stream, h, 0);
        if (m->bins) {
            NAME(Tile) w;
            NAME(locate)(&w, y, here, row, COLUMNS, m->bins, m->bound, m->floor, m->inverse);
            NAME(evaluate)(&w, y, value, slope, COLUMNS, m->bound, m->inverse);
        } else
            NAME(affine)(y, here, row, value, slope, m->bound, m->inverse);
        for (int i = 0; i < COLUMNS; i++) {
            known[p * COLUMNS + i] = m->inverse ? value[i] : y[i];
            ldj[i] += slope[i];
        }
        for (int i = 0; i < n; i++) ((REAL *)m->out)[at + i] = value[i];
    }
    for (int i = 0; i < n; i++) ((REAL *)m->ldj)[start + i] += ldj[i];
}

ptrdiff_t NAME(masked_scratch)(const Layer *m) {
    return ((ptrdiff_t)(m->depth + 2) * m->width + m->dim + m->params * (m->kept ? m->dim - m->kept : 1)) * COLUMNS;
}
#endif
