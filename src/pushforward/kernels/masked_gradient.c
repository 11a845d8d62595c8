/* The gradient of a masked autoregressive layer from data to latent: activations are computed again, tile by tile. */

#ifndef REAL
#include <string.h>

#include "elementary.h"
#include "structures.h"

#define SOURCE "masked_gradient.c"
#include "twice.h"
#else

#include "products.h"
#include "masked.h"
#include "parts.h"
#include "sums.h"

/* g = (weight^T above), of so many rows, where the unit was not rectified away. */
static void NAME(descend)(const Layer *m, REAL *g, const REAL *weight, const int *from, int rows, const REAL *above, const REAL *units) {
    NAME(transposed)(SET, g, m->width, weight, m->width, from, rows, above);
    for (ptrdiff_t i = 0; i < (ptrdiff_t)m->width * COLUMNS; i++) g[i] = units[i] > 0 ? g[i] : 0;
}

static void NAME(affine_gradient)(const REAL *restrict x, const REAL *restrict h, ptrdiff_t row, const REAL *restrict g_out,
                                  const REAL *restrict g_slope, REAL *restrict g_x, REAL *restrict g_h, REAL bound) {
    const int n = COLUMNS;
    const REAL part = bound > (REAL)1e30 ? 0 : 1 / bound;
    REAL s[COLUMNS];
    NAME(bounded)(s, h + row, bound);
    EACH {
        REAL scale = EXP(s[i]), inner = part * s[i];
        g_x[i] = g_out[i] * scale;
        g_h[i] = g_out[i];
        g_h[row + i] = (g_out[i] * x[i] * scale + g_slope[i]) * (1 - inner * inner);
    }
}

/* Adds one tile's share to a job's sums; `last` as masked_prepare has made it. */
void NAME(masked_gradient_tile)(const Layer *m, const REAL *last, ptrdiff_t start, REAL *memory, REAL *sums) {
    const ptrdiff_t width = m->width, dim = m->dim, kept = m->kept, inputs = NAME(inputs_of)(m), area = width * COLUMNS;
    const ptrdiff_t rows = NAME(rows_of)(m), row = NAME(stride_of)(m);
    const int n = m->batch - start < COLUMNS ? m->batch - start : COLUMNS;
    REAL *units = NAME(units_of)(m, start, memory), *g = memory + NAME(units_and_stream)(m), *stream = g - area;
    REAL *known = g + area, *g_known = known + dim * COLUMNS, *g_h = g_known + dim * COLUMNS;
    REAL *inner = stream; /* no longer needed then */
    REAL g_out[COLUMNS], g_ldj[COLUMNS];
    NAME(load)(g_ldj, (const REAL *)m->g_ldj + start, n);
    for (int p = 0; p < dim; p++) NAME(load)(known + p * COLUMNS, (const REAL *)m->x + m->order[p] * m->batch + start, n);
    if (!m->units) NAME(advance)(m, 0, width, start, n, known, units, stream);
    for (int p = 0; p < dim; p++) {
        REAL *x = known + p * COLUMNS, *g_x = g_known + p * COLUMNS;
        NAME(load)(g_out, (const REAL *)m->g_out + m->order[p] * m->batch + start, n);
        if (p < kept) {
            memcpy(g_x, g_out, sizeof(g_out));
            continue;
        }
        const REAL *here = NAME(parameters)(m, last, p, units, m->units != NULL);
        REAL *g_here = g_h + (kept ? p - kept : p * m->params) * COLUMNS;
        if (m->bins) {
            NAME(Tile) w;
            NAME(locate)(&w, x, here, row, COLUMNS, m->bins, m->bound, m->floor, 0);
            NAME(differentiate)(&w, g_out, g_ldj, g_x, g_here, row, COLUMNS, m->bins, m->bound, m->floor, 0);
        } else
            NAME(affine_gradient)(x, here, row, g_out, g_ldj, g_x, g_here, m->bound);
    }

    NAME(weigh)(sums, rows, width, g_h, units + m->depth * area, m->last_to);
    NAME(descend)(m, g, kept ? m->last : last, m->last_from, rows, g_h, units + m->depth * area);
    sums += NAME(sums_of)(rows, width);
    for (int j = m->depth - 1; j >= 0; j--, sums += NAME(sums_of)(width, width)) {
        const int adds = m->residual && j % 2, enters = m->residual && j % 2 == 0;
        /* a residual block: g goes on beside it, inner goes through it */
        const REAL *above = enters ? inner : g;
        REAL *below = enters ? g_h : inner; /* which is no longer needed */
        NAME(weigh)(sums, width, width, above, units + j * area, m->to);
        NAME(descend)(m, below, m->hidden[j], m->from, width, above, units + j * area);
        if (enters)
            for (ptrdiff_t i = 0; i < area; i++) g[i] += below[i];
        else if (!adds) {
            inner = g;
            g = below;
        }
    }
    NAME(weigh)(sums, width, inputs, g, known, m->degrees);
    NAME(transposed)(ADD, g_known, inputs, m->first, inputs, m->ends, width, g);
    for (int p = 0; p < dim; p++) memcpy((REAL *)m->g_x + m->order[p] * m->batch + start, g_known + p * COLUMNS, n * sizeof(REAL));
    if (m->g_given)
        for (ptrdiff_t r = 0; r < width; r++) memcpy((REAL *)m->g_given + r * m->batch + start, g + r * COLUMNS, n * sizeof(REAL));
}

ptrdiff_t NAME(masked_gradient_scratch)(const Layer *m) {
    return NAME(units_and_stream)(m) + (m->width + 2 * m->dim + MAX(NAME(rows_of)(m), m->width)) * COLUMNS;
}

ptrdiff_t NAME(masked_sums)(const Layer *m) {
    const ptrdiff_t width = m->width;
    return NAME(sums_of)(NAME(rows_of)(m), width) + m->depth * NAME(sums_of)(width, width) + NAME(sums_of)(width, NAME(inputs_of)(m));
}

/* What all tiles share, of this many numbers: the last layer's weight with its rows by position, and its bias. Of a coupling nothing. */
ptrdiff_t NAME(masked_shared)(const Layer *m) { return m->kept ? 0 : NAME(padded)(NAME(rows_of)(m) * (m->width + 1)); }

void NAME(masked_prepare)(const Layer *m, REAL *last) {
    const ptrdiff_t rows = m->kept ? 0 : NAME(rows_of)(m), width = m->width;
    for (ptrdiff_t r = 0; r < rows; r++) {
        const ptrdiff_t from = r % m->params * m->dim + m->order[r / m->params];
        memcpy(last + r * width, (const REAL *)m->last + from * width, width * sizeof(REAL));
        last[rows * width + r] = ((const REAL *)m->last_bias)[from];
    }
}

/* The sums of all jobs, as the gradients of its weights. */
void NAME(masked_gather)(const Layer *m, const REAL *sums, ptrdiff_t stride, int jobs) {
    const ptrdiff_t width = m->width, rows = NAME(rows_of)(m);
    NAME(gather)(sums, stride, jobs, rows, width, m->g_last, m->g_last_bias, m->last_to, m->kept ? NULL : m->order, m->params, m->dim);
    sums += NAME(sums_of)(rows, width);
    for (int j = m->depth - 1; j >= 0; j--, sums += NAME(sums_of)(width, width))
        NAME(gather)(sums, stride, jobs, width, width, m->g_hidden[j], m->g_hidden_bias[j], m->to, NULL, 0, 0);
    NAME(gather)(sums, stride, jobs, width, NAME(inputs_of)(m), m->g_first, m->g_first_bias, m->degrees, NULL, 0, 0);
}
#endif
