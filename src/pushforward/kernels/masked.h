/* The visit of one position of a masked net. Included once for each REAL, behind products.h. */

#include "rational.h"

/* The units that the position p is the first to need, from the inputs before it.

   units: rectified, (depth + 1) times (width, COLUMNS); stream: (width, COLUMNS), sums of the first layer and of the residual blocks. */
static void NAME(advance)(const Layer *m, int p, ptrdiff_t start, int n, const REAL *known, REAL *units, REAL *stream) {
    const ptrdiff_t width = m->width, inputs = m->kept ? m->kept : m->dim - 1, area = width * COLUMNS, begin = p ? m->ends[p - 1] : 0;
    const int end = m->ends[p], rows = end - begin;
    REAL *sums = stream + begin * COLUMNS;
    const REAL *first = (const REAL *)m->first + begin * inputs, *bias = (const REAL *)m->first_bias + begin;
    if (rows && !m->residual && !m->given)
        NAME(rectified)(units + begin * COLUMNS, rows, bias, first, inputs, p, known);
    else if (rows) {
        NAME(dense)(sums, rows, bias, 1, first, inputs, p, known);
        if (m->given)
            for (int r = 0; r < rows; r++)
                for (int i = 0; i < n; i++) sums[r * COLUMNS + i] += ((const REAL *)m->given)[(begin + r) * m->batch + start + i];
        NAME(rectify)(units + begin * COLUMNS, sums, rows * COLUMNS);
    }
    for (int j = 0; rows && j < m->depth; j++) {
        const REAL *weight = (const REAL *)m->hidden[j] + begin * width;
        REAL *next = units + (j + 1) * area + begin * COLUMNS;
        bias = (const REAL *)m->hidden_bias[j] + begin;
        if (m->residual && j % 2) { /* a block ends */
            for (int r = 0; r < rows; r++)
                for (int i = 0; i < COLUMNS; i++) sums[r * COLUMNS + i] += bias[r];
            NAME(product)(sums, rows, weight, width, 1, end, units + j * area);
            NAME(rectify)(next, sums, rows * COLUMNS);
        } else
            NAME(rectified)(next, rows, bias, weight, width, end, units + j * area);
    }
}

/* From one parameter of a position to its next one. */
static inline ptrdiff_t NAME(stride_of)(const Layer *m) { return m->kept ? (m->dim - m->kept) * COLUMNS : COLUMNS; }

/* Where a tile's units are. */
static inline REAL *NAME(units_of)(const Layer *m, ptrdiff_t start, REAL *memory) {
    return m->units ? (REAL *)m->units + start * (m->depth + 1) * m->width : memory;
}

/* The parameters of the position p, into h, by units that are found, or were before; of a coupling those of all positions that are not kept,
   when p is the first of them. */
INLINE const REAL *NAME(visit)(const Layer *m, int p, ptrdiff_t start, int n, const REAL *known, REAL *units, REAL *stream, REAL *h,
                               const int found) {
    const ptrdiff_t width = m->width, dim = m->dim, outputs = dim - m->kept;
    const REAL *last = m->last, *bias = m->last_bias, *top = units + m->depth * width * COLUMNS;
    if (!found) NAME(advance)(m, p, start, n, known, units, stream);
    if (!m->kept)
        NAME(dense)(h, m->params, bias + m->order[p], dim, last + m->order[p] * width, dim * width, m->ends[p], top);
    else if (p == m->kept)
        NAME(dense)(h, m->params * outputs, bias, 1, last, width, width, top);
    return m->kept ? h + (p - m->kept) * COLUMNS : h;
}

/* s = bound tanh(raw / bound); s = raw without a bound. */
static inline REAL NAME(bounded)(REAL raw, REAL bound) {
    REAL decay = EXP(-2 / bound * ABS(raw)), tame = bound * (1 - decay) / (1 + decay);
    return bound > (REAL)1e30 ? raw : raw < 0 ? -tame : tame;
}
