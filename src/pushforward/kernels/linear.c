/* A linear map of vectors: features in another order, scaled and shifted, or multiplied by a matrix; and its gradient. */

#ifndef REAL
#include <string.h>

#include "elementary.h"
#include "structures.h"

#define SOURCE "linear.c"
#include "twice.h"
#else

#include "products.h"
#include "parts.h"
#include "sums.h"

ptrdiff_t NAME(linear_scratch)(const Layer *m) { return 3 * (ptrdiff_t)m->dim * COLUMNS; }

ptrdiff_t NAME(linear_sums)(const Layer *m) { return m->matrix ? NAME(sums_of)(m->dim, m->dim) : m->scale ? NAME(padded)(2 * m->dim) : 0; }

static inline ptrdiff_t NAME(place)(const Layer *m, int p) { return m->order ? m->order[p] : p; }

void NAME(linear_tile)(const Layer *m, ptrdiff_t start, REAL *memory) {
    const ptrdiff_t dim = m->dim;
    const int n = m->batch - start < COLUMNS ? m->batch - start : COLUMNS;
    const REAL *scale = m->scale, *shift = m->shift;
    REAL *in = memory, *made = in + dim * COLUMNS, *none = made + dim * COLUMNS;
    for (int p = 0; p < dim; p++) {
        REAL *x = in + p * COLUMNS;
        NAME(load)(x, (const REAL *)m->x + (m->inverse ? p : NAME(place)(m, p)) * m->batch + start, n);
        if (m->inverse && shift)
            for (int i = 0; i < COLUMNS; i++) x[i] -= shift[p];
    }
    if (m->matrix) {
        memset(none, 0, dim * sizeof(REAL));
        NAME(dense)(made, dim, m->inverse ? none : shift, 1, m->matrix, dim, NULL, dim, in);
    } else if (scale)
        for (int p = 0; p < dim; p++)
            for (int i = 0; i < COLUMNS; i++) made[p * COLUMNS + i] = in[p * COLUMNS + i] * scale[p] + (m->inverse ? 0 : shift[p]);
    else
        made = in;
    for (int p = 0; p < dim; p++)
        memcpy((REAL *)m->out + (m->inverse ? NAME(place)(m, p) : p) * m->batch + start, made + p * COLUMNS, n * sizeof(REAL));
}

void NAME(linear_gradient_tile)(const Layer *m, ptrdiff_t start, REAL *memory, REAL *sums) {
    const ptrdiff_t dim = m->dim;
    const int n = m->batch - start < COLUMNS ? m->batch - start : COLUMNS;
    const REAL *scale = m->scale;
    REAL *in = memory, *g = in + dim * COLUMNS, *made = g + dim * COLUMNS;
    for (int p = 0; p < dim; p++) {
        NAME(load)(in + p * COLUMNS, (const REAL *)m->x + NAME(place)(m, p) * m->batch + start, n);
        NAME(load)(g + p * COLUMNS, (const REAL *)m->g_out + p * m->batch + start, n);
    }
    if (m->matrix) {
        NAME(weigh)(sums, dim, dim, g, in, NULL);
        NAME(transposed)(SET, made, dim, m->matrix, dim, NULL, dim, g);
    } else if (scale)
        for (int p = 0; p < dim; p++) {
            REAL product = 0, sum = 0;
            _Pragma("omp simd reduction(+ : product, sum)") for (int i = 0; i < COLUMNS; i++) {
                product += g[p * COLUMNS + i] * in[p * COLUMNS + i];
                sum += g[p * COLUMNS + i];
                made[p * COLUMNS + i] = g[p * COLUMNS + i] * scale[p];
            }
            sums[p] += product;
            sums[dim + p] += sum;
        }
    else
        made = g;
    for (int p = 0; p < dim; p++) memcpy((REAL *)m->g_x + NAME(place)(m, p) * m->batch + start, made + p * COLUMNS, n * sizeof(REAL));
}

void NAME(linear_gather)(const Layer *m, const REAL *sums, ptrdiff_t stride, int jobs) {
    const int all = m->dim;
    if (m->matrix) NAME(gather)(sums, stride, jobs, all, all, m->g_matrix, m->g_shift, NULL, NULL, 0, 0);
    for (int p = 0; m->scale && p < all; p++) {
        REAL product = 0, sum = 0;
        for (int job = 0; job < jobs; job++) {
            product += sums[p + job * stride];
            sum += sums[all + p + job * stride];
        }
        ((REAL *)m->g_scale)[p] = product;
        ((REAL *)m->g_shift)[p] = sum;
    }
}
#endif
