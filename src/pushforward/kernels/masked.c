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
    NAME(bounded)(slope, h + row, bound);
    if (inverse)
        EACH {
            slope[i] = -slope[i];
            out[i] = (y[i] - h[i]) * EXP(slope[i]);
        }
    else
        EACH out[i] = y[i] * EXP(slope[i]) + h[i];
}

void NAME(masked_tile)(const Layer *m, const REAL *last, ptrdiff_t start, REAL *memory) {
    const ptrdiff_t area = (ptrdiff_t)m->width * COLUMNS, dim = m->dim, row = NAME(stride_of)(m);
    const int n = m->batch - start < COLUMNS ? m->batch - start : COLUMNS, stepwise = m->inverse && !m->kept;
    REAL *units = NAME(units_of)(m, start, memory), *known = memory + NAME(units_and_stream)(m), *stream = known - area;
    REAL value[COLUMNS], slope[COLUMNS], ldj[COLUMNS] = {0};
    for (int p = 0; p < dim; p++) NAME(load)(known + p * COLUMNS, (const REAL *)m->x + m->order[p] * m->batch + start, n);
    if (!stepwise) NAME(advance)(m, 0, m->width, start, n, known, units, stream);
    for (int p = 0; p < dim; p++) {
        REAL *y = known + p * COLUMNS, *out = (REAL *)m->out + m->order[p] * m->batch + start;
        if (p < m->kept) {
            memcpy(out, y, n * sizeof(REAL));
            continue;
        }
        if (stepwise) NAME(advance)(m, p ? m->ends[p - 1] : 0, m->ends[p], start, n, known, units, stream);
        const REAL *here = NAME(parameters)(m, last, p, units, 0);
        if (m->bins) {
            NAME(Tile) w;
            NAME(locate)(&w, y, here, row, COLUMNS, m->bins, m->bound, m->floor, m->inverse);
            NAME(evaluate)(&w, y, value, slope, COLUMNS, m->bound, m->inverse);
        } else
            NAME(affine)(y, here, row, value, slope, m->bound, m->inverse);
        for (int i = 0; i < COLUMNS; i++) ldj[i] += slope[i];
        memcpy(out, value, n * sizeof(REAL));
        if (stepwise) memcpy(y, value, sizeof(value));
    }
    for (int i = 0; i < n; i++) ((REAL *)m->ldj)[start + i] += ldj[i];
}

/* Whether its forward tiles take the last layer with its rows by position: few for each position, of all positions at once. */
int NAME(masked_prepares)(const Layer *m) { return !m->kept && !m->bins && !m->inverse; }

ptrdiff_t NAME(masked_scratch)(const Layer *m) {
    return NAME(units_and_stream)(m) + m->dim * COLUMNS;
}
#endif
