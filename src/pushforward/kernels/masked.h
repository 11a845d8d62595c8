/* The visit of one position of a masked net. Included once for each REAL, behind products.h. */

#include "rational.h"

/* Inputs of the net, and rows of its last layer. */
static inline ptrdiff_t NAME(inputs_of)(const Layer *m) { return m->kept ? m->kept : m->dim - 1; }
static inline ptrdiff_t NAME(rows_of)(const Layer *m) { return (m->dim - m->kept) * (ptrdiff_t)m->params; }

/* From one parameter of a position to its next one. */
static inline ptrdiff_t NAME(stride_of)(const Layer *m) { return m->kept ? (m->dim - m->kept) * COLUMNS : COLUMNS; }

/* Where a tile's units are, and behind them the parameters. */
static inline REAL *NAME(units_of)(const Layer *m, ptrdiff_t start, REAL *memory) {
    return m->units ? (REAL *)m->units + start * ((m->depth + 1) * m->width + NAME(rows_of)(m)) : memory;
}

/* Whether the parameters of all positions stand side by side: where they are kept for the gradient, of a coupling, and where they are few. */
static inline int NAME(whole)(const Layer *m) { return m->units || m->kept || !m->bins; }

/* Numbers of units and parameters of a tile, and of the sums of the first layer and the residual blocks. */
static inline ptrdiff_t NAME(units_and_stream)(const Layer *m) {
    return ((m->depth + 2) * (ptrdiff_t)m->width + (NAME(whole)(m) ? NAME(rows_of)(m) : m->params)) * COLUMNS;
}

/* Some units, from what is known of the inputs and of the units before them.

   units: rectified, (depth + 1) times (width, COLUMNS); stream: (width, COLUMNS), sums of the first layer and of the residual blocks. */
static void NAME(advance)(const Layer *m, int begin, int end, ptrdiff_t start, int n, const REAL *known, REAL *units, REAL *stream) {
    const ptrdiff_t width = m->width, inputs = NAME(inputs_of)(m), area = width * COLUMNS;
    const int rows = end - begin, *degrees = m->degrees + begin, *to = m->to + begin;
    REAL *sums = stream + begin * COLUMNS;
    const REAL *first = (const REAL *)m->first + begin * inputs, *bias = (const REAL *)m->first_bias + begin;
    if (!m->residual && !m->given)
        NAME(rectified)(units + begin * COLUMNS, rows, bias, first, inputs, degrees, inputs, known);
    else {
        NAME(dense)(sums, rows, bias, 1, first, inputs, degrees, inputs, known);
        if (m->given)
            for (int r = 0; r < rows; r++)
                for (int i = 0; i < n; i++) sums[r * COLUMNS + i] += ((const REAL *)m->given)[(begin + r) * m->batch + start + i];
        NAME(rectify)(units + begin * COLUMNS, sums, rows * COLUMNS);
    }
    for (int j = 0; j < m->depth; j++) {
        const REAL *weight = (const REAL *)m->hidden[j] + begin * width;
        REAL *next = units + (j + 1) * area + begin * COLUMNS;
        bias = (const REAL *)m->hidden_bias[j] + begin;
        if (m->residual && j % 2) { /* a block ends */
            for (int r = 0; r < rows; r++)
                for (int i = 0; i < COLUMNS; i++) sums[r * COLUMNS + i] += bias[r];
            NAME(product)(sums, rows, weight, width, to, width, units + j * area);
            NAME(rectify)(next, sums, rows * COLUMNS);
        } else
            NAME(rectified)(next, rows, bias, weight, width, to, width, units + j * area);
    }
}

/* The parameters of the position p, behind the units; they are found, or computed now: of a coupling, and where they are few, those of all
   positions when p is the first. `last`: the last layer's weight with its rows by position, and behind it the bias; or NULL. */
INLINE const REAL *NAME(parameters)(const Layer *m, const REAL *last, int p, REAL *units, const int found) {
    const ptrdiff_t width = m->width, dim = m->dim, params = m->params, rows = NAME(rows_of)(m);
    const REAL *top = units + m->depth * width * COLUMNS, *bias = m->last_bias;
    REAL *h = units + (m->depth + 1) * width * COLUMNS;
    if (m->kept) {
        if (!found && p == m->kept) NAME(dense)(h, rows, bias, 1, m->last, width, NULL, width, top);
        return h + (p - m->kept) * COLUMNS;
    }
    if (!m->bins && last) {
        if (!found && !p) NAME(dense)(h, rows, last + rows * width, 1, last, width, m->last_to, width, top);
        return h + p * params * COLUMNS;
    }
    if (NAME(whole)(m)) h += p * params * COLUMNS;
    if (!found && last)
        NAME(dense)(h, params, last + rows * width + p * params, 1, last + p * params * width, width, NULL, m->ends[p], top);
    else if (!found)
        NAME(dense)(h, params, bias + m->order[p], dim, (const REAL *)m->last + m->order[p] * width, dim * width, NULL, m->ends[p], top);
    return h;
}

/* s = bound tanh(raw / bound); s = raw without a bound. Choices that are the same for all stand outside of loops, which are vector code then. */
static inline void NAME(bounded)(REAL *restrict s, const REAL *restrict raw, REAL bound) {
    const int n = COLUMNS;
    const REAL rate = -2 / bound;
    if (bound > (REAL)1e30)
        memcpy(s, raw, n * sizeof(REAL));
    else
        EACH {
            REAL decay = EXP(rate * ABS(raw[i])), tame = bound * (1 - decay) / (1 + decay);
            s[i] = raw[i] < 0 ? -tame : tame;
        }
}
