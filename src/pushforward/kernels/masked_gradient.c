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

/* g = (weight^T above) where the unit was not rectified away; unit k stands under the rows from its own degree on. */
static void NAME(descend)(const Layer *m, REAL *g, const REAL *weight, const REAL *above, const REAL *units) {
    const ptrdiff_t width = m->width;
    memset(g, 0, width * COLUMNS * sizeof(REAL));
    for (int p = 0; p < m->dim; p++) {
        const ptrdiff_t begin = p ? m->ends[p - 1] : 0;
        NAME(product)(g + begin * COLUMNS, m->ends[p] - begin, weight + begin * width + begin, 1, width, width - begin, above + begin * COLUMNS);
    }
    for (ptrdiff_t i = 0; i < width * COLUMNS; i++) g[i] = units[i] > 0 ? g[i] : 0;
}

static void NAME(affine_gradient)(const REAL *restrict x, const REAL *restrict h, ptrdiff_t row, const REAL *restrict g_out,
                                  const REAL *restrict g_slope, REAL *restrict g_x, REAL *restrict g_h, REAL bound) {
    const int n = COLUMNS;
    EACH {
        REAL s = NAME(bounded)(h[row + i], bound), scale = EXP(s), inner = bound > (REAL)1e30 ? 0 : s / bound;
        g_x[i] = g_out[i] * scale;
        g_h[i] = g_out[i];
        g_h[row + i] = (g_out[i] * x[i] * scale + g_slope[i]) * (1 - inner * inner);
    }
}

/* How many units the rows of the last layer see. */
static const int *NAME(last_sees)(const Layer *m) { return m->kept ? m->ends + m->dim - 1 : m->ends; }

/* Adds one tile's share to a job's sums; `last` is the last layer's weight with its rows by position, as g_h has them. */
void NAME(masked_gradient_tile)(const Layer *m, const REAL *last, ptrdiff_t start, REAL *memory, REAL *sums) {
    const ptrdiff_t width = m->width, dim = m->dim, kept = m->kept, inputs = kept ? kept : dim - 1, area = width * COLUMNS;
    const ptrdiff_t rows = (dim - kept) * m->params, row = NAME(stride_of)(m);
    const int n = m->batch - start < COLUMNS ? m->batch - start : COLUMNS;
    REAL *units = NAME(units_of)(m, start, memory), *stream = memory + (m->depth + 1) * area, *g = stream + area, *known = g + area, *g_known = known + dim * COLUMNS;
    REAL *g_h = g_known + dim * COLUMNS, *h = g_h + (rows > width ? rows : width) * COLUMNS;
    REAL *inner = stream; /* no longer needed then */
    REAL g_out[COLUMNS], g_ldj[COLUMNS];
    NAME(load)(g_ldj, (const REAL *)m->g_ldj + start, n);
    for (int p = 0; p < dim; p++) {
        const ptrdiff_t at = m->order[p] * m->batch + start;
        REAL *x = known + p * COLUMNS, *g_x = g_known + p * COLUMNS;
        NAME(load)(x, (const REAL *)m->x + at, n);
        NAME(load)(g_out, (const REAL *)m->g_out + at, n);
        if (p < kept) {
            memcpy(g_x, g_out, sizeof(g_out));
            continue;
        }
        const REAL *here = NAME(visit)(m, p, start, n, known, units, stream, h, m->units != NULL);
        REAL *g_here = g_h + (kept ? p - kept : p * m->params) * COLUMNS;
        if (m->bins) {
            NAME(Tile) w;
            NAME(locate)(&w, x, here, row, COLUMNS, m->bins, m->bound, m->floor, 0);
            NAME(differentiate)(&w, g_out, g_ldj, g_x, g_here, row, COLUMNS, m->bins, m->bound, m->floor, 0);
        } else
            NAME(affine_gradient)(x, here, row, g_out, g_ldj, g_x, g_here, m->bound);
    }

    REAL *top = sums;
    NAME(weigh)(top, rows, width, g_h, units + m->depth * area, NAME(last_sees)(m), kept ? rows : m->params);
    memset(g, 0, area * sizeof(REAL));
    for (int p = 0; p < dim; p++) { /* units of this degree stand under the positions from here on */
        const ptrdiff_t begin = p ? m->ends[p - 1] : 0, from = kept ? 0 : p * m->params;
        NAME(product)(g + begin * COLUMNS, m->ends[p] - begin, last + from * width + begin, 1, width, rows - from, g_h + from * COLUMNS);
    }
    for (ptrdiff_t i = 0; i < area; i++) g[i] = units[m->depth * area + i] > 0 ? g[i] : 0;
    top += NAME(sums_of)(rows, width);

    /* Which degree a row of a square layer has: sees[r] of the columns. */
    int *sees = (int *)(h + m->params * row);
    for (int p = 0, r = 0; p < dim; p++)
        for (; r < m->ends[p]; r++) sees[r] = m->ends[p];
    for (int j = m->depth - 1; j >= 0; j--, top += NAME(sums_of)(width, width)) {
        const int adds = m->residual && j % 2, enters = m->residual && j % 2 == 0;
        /* a residual block: g goes on beside it, inner goes through it */
        const REAL *above = enters ? inner : g;
        NAME(weigh)(top, width, width, above, units + j * area, sees, 1);
        if (adds)
            NAME(descend)(m, inner, m->hidden[j], g, units + j * area);
        else if (enters) {
            REAL *through = g_h; /* no longer needed */
            NAME(descend)(m, through, m->hidden[j], inner, units + j * area);
            for (ptrdiff_t i = 0; i < area; i++) g[i] += through[i];
        } else {
            NAME(descend)(m, inner, m->hidden[j], g, units + j * area);
            memcpy(g, inner, area * sizeof(REAL));
        }
    }
    for (int p = 0, r = 0; p < dim; p++)
        for (; r < m->ends[p]; r++) sees[r] = p;
    NAME(weigh)(top, width, inputs, g, known, sees, 1);
    if (kept) NAME(product)(g_known, kept, m->first, 1, kept, width, g);
    for (int p = 0; p < dim; p++) {
        const ptrdiff_t at = m->order[p] * m->batch + start, end = m->ends[p];
        if (!kept && p < inputs)
            NAME(product)(g_known + p * COLUMNS, 1, (const REAL *)m->first + end * inputs + p, 0, inputs, width - end, g + end * COLUMNS);
        for (int i = 0; i < n; i++) ((REAL *)m->g_x)[at + i] = g_known[p * COLUMNS + i];
    }
    if (m->g_given)
        for (ptrdiff_t r = 0; r < width; r++)
            for (int i = 0; i < n; i++) ((REAL *)m->g_given)[r * m->batch + start + i] = g[r * COLUMNS + i];
}

ptrdiff_t NAME(masked_gradient_scratch)(const Layer *m) {
    const ptrdiff_t rows = (m->dim - m->kept) * (ptrdiff_t)m->params, big = rows > m->width ? rows : m->width;
    return (m->depth + 3) * (ptrdiff_t)m->width * COLUMNS + (2 * m->dim + big) * COLUMNS + m->params * NAME(stride_of)(m) + NAME(padded)(m->width);
}

ptrdiff_t NAME(masked_sums)(const Layer *m) {
    const ptrdiff_t width = m->width, inputs = m->kept ? m->kept : m->dim - 1;
    return NAME(sums_of)((m->dim - m->kept) * (ptrdiff_t)m->params, width) + m->depth * NAME(sums_of)(width, width) + NAME(sums_of)(width, inputs);
}

/* What all tiles share, of this many numbers: the last layer's weight with its rows by position. */
ptrdiff_t NAME(masked_shared)(const Layer *m) { return NAME(padded)((m->dim - m->kept) * (ptrdiff_t)m->params * m->width); }

void NAME(masked_prepare)(const Layer *m, REAL *last) {
    const ptrdiff_t rows = (m->dim - m->kept) * (ptrdiff_t)m->params, width = m->width;
    for (ptrdiff_t r = 0; r < rows; r++)
        memcpy(last + r * width, (const REAL *)m->last + (m->kept ? r : r % m->params * m->dim + m->order[r / m->params]) * width,
               width * sizeof(REAL));
}

/* The sums of all jobs, as the gradients of its weights; sees: memory for one int for each unit. */
void NAME(masked_gather)(const Layer *m, const REAL *sums, ptrdiff_t stride, int jobs, int *sees) {
    const ptrdiff_t width = m->width, dim = m->dim, inputs = m->kept ? m->kept : dim - 1, rows = (dim - m->kept) * (ptrdiff_t)m->params;
    NAME(gather)(sums, stride, jobs, rows, width, m->g_last, m->g_last_bias, NAME(last_sees)(m), m->kept ? rows : m->params,
                 m->kept ? NULL : m->order, dim);
    for (int p = 0, r = 0; p < dim; p++)
        for (; r < m->ends[p]; r++) sees[r] = m->ends[p];
    const REAL *at = sums + NAME(sums_of)(rows, width);
    for (int j = m->depth - 1; j >= 0; j--, at += NAME(sums_of)(width, width))
        NAME(gather)(at, stride, jobs, width, width, m->g_hidden[j], m->g_hidden_bias[j], sees, 1, NULL, 0);
    for (int p = 0, r = 0; p < dim; p++)
        for (; r < m->ends[p]; r++) sees[r] = p;
    NAME(gather)(at, stride, jobs, width, inputs, m->g_first, m->g_first_bias, sees, 1, NULL, 0);
}
#endif
