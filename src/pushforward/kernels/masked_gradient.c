/* The gradient of a masked autoregressive layer from data to latent: activations are computed again, tile by tile.

   Gradients of weights are sums over the batch. Every job takes a fixed share of the tiles and has its own sums, added in a fixed order
   in the end: the same number of jobs gives the same result to the bit. Sums of a weight (rows, columns) are held in panels of COLUMNS
   columns, so that they are the same kind of product as all others: rows of gradients times activations with the batch going down. */

#ifndef REAL
#include <stdlib.h>
#include <string.h>

#include "elementary.h"
#include "structures.h"

#define REAL float
#define NAME(name) name##_float
#include __FILE__
#undef REAL
#undef NAME
#define REAL double
#define NAME(name) name##_double
#include __FILE__
#else

#include "masked.h"

#ifdef __clang__ /* which has no shuffle by a vector */
#define SHUFFLE(a, b, from) ({ __typeof__(a) made; for (int l = 0; l < LANES; l++) made[l] = from[l] < LANES ? a[from[l]] : b[from[l] - LANES]; made; })
#else
#define SHUFFLE(a, b, from) __builtin_shuffle(a, b, from)
#endif
#define PANELS(columns) (((columns) + COLUMNS - 1) / COLUMNS)

static ptrdiff_t NAME(padded)(ptrdiff_t numbers) { return (numbers + COLUMNS - 1) / COLUMNS * COLUMNS; }

/* Numbers of a job's sums: for each layer its weight in panels, then its bias. */
static ptrdiff_t NAME(sums_of)(ptrdiff_t rows, ptrdiff_t columns) { return PANELS(columns) * rows * COLUMNS + NAME(padded)(rows); }

/* As NAME(product), for the first vector of columns alone. */
static void NAME(narrow)(REAL *out, int rows, const REAL *weight, ptrdiff_t down, ptrdiff_t along, int inputs, const REAL *in) {
    NAME(block)(1, ADD, out, rows, weight, 0, weight, down, along, inputs, in);
}

/* One step of turning a square of lanes: what lies off the diagonal of each square of 2 d rows changes places. */
INLINE void NAME(swap)(NAME(vector) *rows, const int d) {
    const NAME(vector) none = {0};
    NAME(lanes) low = none != none, high = low; /* zeros */
    for (int l = 0; l < LANES; l++) {
        low[l] = l & d ? l - d + LANES : l;
        high[l] = l & d ? l + LANES : l + d;
    }
    for (int r = 0; r < LANES; r++)
        if (!(r & d)) {
            NAME(vector) a = rows[r], b = rows[r + d];
            rows[r] = SHUFFLE(a, b, low);
            rows[r + d] = SHUFFLE(a, b, high);
        }
}

/* turned[i][k] = in[k][i] for some rows k, and zeros for the others of the lanes that they begin. */
static void NAME(turn)(REAL *turned, const REAL *in, int rows) {
    for (int k = 0; k < rows; k += LANES)
        for (int i = 0; i < COLUMNS; i += LANES) {
            NAME(vector) square[LANES];
            for (int r = 0; r < LANES; r++) square[r] = k + r < rows ? *(NAME(vector) *)(in + (k + r) * COLUMNS + i) : (NAME(vector)){0};
            NAME(swap)(square, 1);
            NAME(swap)(square, 2);
            NAME(swap)(square, 4);
            if (LANES > 8) NAME(swap)(square, 8);
            for (int r = 0; r < LANES; r++) *(NAME(vector) *)(turned + (i + r) * COLUMNS + k) = square[r];
        }
    for (int k = (rows + LANES - 1) / LANES * LANES; rows > LANES && k < COLUMNS; k++)
        for (int i = 0; i < COLUMNS; i++) turned[i * COLUMNS + k] = 0;
}

/* sums += g in^T for rows that see the first columns only; row r sees `sees[r / group]` of them, more from row to row. */
static void NAME(weigh)(REAL *sums, ptrdiff_t rows, ptrdiff_t columns, const REAL *g, const REAL *in, const int *sees, int group) {
    REAL turned[COLUMNS * COLUMNS] __attribute__((aligned(64)));
    REAL *bias = sums + PANELS(columns) * rows * COLUMNS;
    ptrdiff_t from = 0;
    for (ptrdiff_t panel = 0; panel < PANELS(columns); panel++, sums += rows * COLUMNS) {
        const ptrdiff_t column = panel * COLUMNS, here = columns - column < COLUMNS ? columns - column : COLUMNS;
        while (from < rows && sees[from / group] <= column) from++;
        if (from == rows) break;
        NAME(turn)(turned, in + column * COLUMNS, here);
        (here > LANES ? NAME(product) : NAME(narrow))(sums + from * COLUMNS, rows - from, g + from * COLUMNS, COLUMNS, 1, COLUMNS, turned);
    }
    for (ptrdiff_t r = 0; r < rows; r++) {
        REAL sum = 0;
        _Pragma("omp simd reduction(+ : sum)") for (int i = 0; i < COLUMNS; i++) sum += g[r * COLUMNS + i];
        bias[r] += sum;
    }
}

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
static void NAME(tile)(const Layer *m, const REAL *last, ptrdiff_t start, REAL *memory, REAL *sums) {
    const ptrdiff_t width = m->width, dim = m->dim, kept = m->kept, inputs = kept ? kept : dim - 1, area = width * COLUMNS;
    const ptrdiff_t rows = (dim - kept) * m->params, row = NAME(stride_of)(m);
    const int n = m->batch - start < COLUMNS ? m->batch - start : COLUMNS;
    REAL *units = memory, *stream = units + (m->depth + 1) * area, *g = stream + area, *known = g + area, *g_known = known + dim * COLUMNS;
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
        const REAL *here = NAME(visit)(m, p, start, n, known, units, stream, h);
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

/* All jobs' sums of a layer, out of panels; row r sees `sees[r / group]` columns, and is put back from its position to its feature if there is
   an order. */
static void NAME(gather)(const REAL *sums, ptrdiff_t stride, int jobs, ptrdiff_t rows, ptrdiff_t columns, REAL *weight, REAL *bias,
                         const int *sees, int group, const int *order, int dim) {
#pragma omp parallel for schedule(static) num_threads(jobs) if (jobs > 1)
    for (ptrdiff_t r = 0; r < rows; r++) {
        const ptrdiff_t to = order ? (r % group) * dim + order[r / group] : r;
        if (columns) memset(weight + to * columns, 0, columns * sizeof(REAL));
        for (int job = 0; job < jobs; job++)
            for (ptrdiff_t column = 0; column < sees[r / group]; column += COLUMNS) {
                const REAL *from = sums + (column * rows + r * COLUMNS) + job * stride;
                const ptrdiff_t here = sees[r / group] - column < COLUMNS ? sees[r / group] - column : COLUMNS;
                for (ptrdiff_t k = 0; k < here; k++) weight[to * columns + column + k] += from[k];
            }
        REAL sum = 0;
        for (int job = 0; job < jobs; job++) sum += sums[PANELS(columns) * rows * COLUMNS + r + job * stride];
        bias[to] = sum;
    }
}

/* 0, or 1 where there is not enough memory. */
int NAME(masked_gradient)(const Layer *m) {
    const ptrdiff_t width = m->width, dim = m->dim, inputs = m->kept ? m->kept : dim - 1, area = width * COLUMNS;
    const ptrdiff_t rows = (dim - m->kept) * m->params, row = NAME(stride_of)(m);
    const ptrdiff_t tiles = (m->batch + COLUMNS - 1) / COLUMNS, middle = NAME(sums_of)(width, width);
    const ptrdiff_t most = m->threads < m->copies ? m->threads : m->copies, jobs = tiles < 1 ? 1 : tiles < most ? tiles : most;
    const ptrdiff_t stride = NAME(sums_of)(rows, width) + m->depth * middle + NAME(sums_of)(width, inputs);
    const ptrdiff_t big = rows > width ? rows : width;
    const ptrdiff_t scratch = (m->depth + 3) * area + (2 * dim + big) * COLUMNS + m->params * row + NAME(padded)(width);
    REAL *memory = aligned_alloc(64, (jobs * (stride + scratch) + NAME(padded)(rows * width)) * sizeof(REAL));
    int *sees = malloc(width * sizeof(int));
    if (!memory || !sees) {
        free(memory);
        free(sees);
        return 1;
    }
    REAL *sums = memory + jobs * scratch, *last = sums + jobs * stride;
    for (ptrdiff_t r = 0; r < rows; r++)
        memcpy(last + r * width, (const REAL *)m->last + (m->kept ? r : r % m->params * dim + m->order[r / m->params]) * width,
               width * sizeof(REAL));
#pragma omp parallel for schedule(static) num_threads(jobs) if (jobs > 1)
    for (ptrdiff_t job = 0; job < jobs; job++) {
        memset(sums + job * stride, 0, stride * sizeof(REAL));
        for (ptrdiff_t tile = job * tiles / jobs; tile < (job + 1) * tiles / jobs; tile++)
            NAME(tile)(m, last, tile * COLUMNS, memory + job * scratch, sums + job * stride);
    }
    NAME(gather)(sums, stride, jobs, rows, width, m->g_last, m->g_last_bias, NAME(last_sees)(m), m->kept ? rows : m->params,
                 m->kept ? NULL : m->order, dim);
    for (int p = 0, r = 0; p < dim; p++)
        for (; r < m->ends[p]; r++) sees[r] = m->ends[p];
    const REAL *at = sums + NAME(sums_of)(rows, width);
    for (int j = m->depth - 1; j >= 0; j--, at += middle)
        NAME(gather)(at, stride, jobs, width, width, m->g_hidden[j], m->g_hidden_bias[j], sees, 1, NULL, 0);
    for (int p = 0, r = 0; p < dim; p++)
        for (; r < m->ends[p]; r++) sees[r] = p;
    NAME(gather)(at, stride, jobs, width, inputs, m->g_first, m->g_first_bias, sees, 1, NULL, 0);
    free(sees);
    free(memory);
    return 0;
}
#undef VECTORS
#undef COLUMNS
#undef PANELS
#undef SHUFFLE
#undef LANES
#undef BYTES
#undef ROWS
#endif
