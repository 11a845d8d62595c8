/* Masked products over a tile of the batch, and the visit of one position. Included once for each REAL.

   Rows are units or numbers; a row holds COLUMNS numbers, one for each member of the tile, in a few vector registers. */

#include "rational.h"

typedef REAL NAME(vector) __attribute__((vector_size(64), aligned(64)));
#define VECTORS 4
#define COLUMNS (VECTORS * 64 / (int)sizeof(REAL))

/* sum_k weight[r * down + k * along] in[k] for some rows r at once, held in registers; bias of row r is bias[r * step].
   They are added to out (ADD), or stored with the bias (SET), with zeros for what is negative then (RECTIFY). */
#define ADD 0
#define SET 1
#define RECTIFY 2

static inline __attribute__((always_inline)) void NAME(some_rows)(const int rows, const int how, REAL *restrict out, const REAL *bias,
                                                                  ptrdiff_t step, const REAL *weight, ptrdiff_t down, ptrdiff_t along,
                                                                  int inputs, const REAL *restrict in) {
    NAME(vector) sums[4][VECTORS];
    NAME(vector) *o = (NAME(vector) *)out;
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < VECTORS; v++) sums[r][v] = how == ADD ? o[r * VECTORS + v] : bias[r * step] - (NAME(vector)){0};
    for (int k = 0; k < inputs; k++) {
        const NAME(vector) *x = (const NAME(vector) *)(in + k * COLUMNS);
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < VECTORS; v++) sums[r][v] += weight[r * down + k * along] * x[v];
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < VECTORS; v++) {
            __typeof__(sums[r][v] < 0) negative = sums[r][v] < 0; /* all bits set where it is; what is no number stays so */
            o[r * VECTORS + v] = how == RECTIFY ? (NAME(vector))((__typeof__(negative))sums[r][v] & ~negative) : sums[r][v];
        }
}

static inline __attribute__((always_inline)) void NAME(rows)(const int how, REAL *out, int rows, const REAL *bias, ptrdiff_t step,
                                                             const REAL *weight, ptrdiff_t down, ptrdiff_t along, int inputs,
                                                             const REAL *in) {
    for (; rows >= 4; rows -= 4, out += 4 * COLUMNS, weight += 4 * down, bias += 4 * step)
        NAME(some_rows)(4, how, out, bias, step, weight, down, along, inputs, in);
    if (rows == 3) NAME(some_rows)(3, how, out, bias, step, weight, down, along, inputs, in);
    if (rows == 2) NAME(some_rows)(2, how, out, bias, step, weight, down, along, inputs, in);
    if (rows == 1) NAME(some_rows)(1, how, out, bias, step, weight, down, along, inputs, in);
}

/* out += weight in. */
static void NAME(product)(REAL *out, int rows, const REAL *weight, ptrdiff_t down, ptrdiff_t along, int inputs, const REAL *in) {
    NAME(rows)(ADD, out, rows, weight, 0, weight, down, along, inputs, in);
}

/* out = weight in + bias. */
static void NAME(dense)(REAL *out, int rows, const REAL *bias, ptrdiff_t step, const REAL *weight, ptrdiff_t down, int inputs, const REAL *in) {
    NAME(rows)(SET, out, rows, bias, step, weight, down, 1, inputs, in);
}

/* out = max(weight in + bias, 0). */
static void NAME(rectified)(REAL *out, int rows, const REAL *bias, const REAL *weight, ptrdiff_t down, int inputs, const REAL *in) {
    NAME(rows)(RECTIFY, out, rows, bias, 1, weight, down, 1, inputs, in);
}

static void NAME(rectify)(REAL *out, const REAL *in, int numbers) {
    for (int i = 0; i < numbers; i++) out[i] = in[i] < 0 ? 0 : in[i];
}

/* Numbers of the tile that begins at a member of the batch; zeros beyond its end. */
static inline void NAME(load)(REAL *restrict tile, const REAL *restrict row, int n) {
    for (int i = 0; i < COLUMNS; i++) tile[i] = i < n ? row[i] : 0;
}

/* The parameters h of the position p, from the inputs before it: computes the units that it is the first to need.

   units: rectified, (depth + 1) times (width, COLUMNS); stream: (width, COLUMNS), sums of the first layer and of the residual blocks. */
static void NAME(visit)(const Layer *m, int p, ptrdiff_t start, int n, const REAL *known, REAL *units, REAL *stream, REAL *h) {
    const ptrdiff_t width = m->width, dim = m->dim, area = width * COLUMNS, begin = p ? m->ends[p - 1] : 0;
    const int feature = m->order[p], end = m->ends[p], rows = end - begin;
    REAL *sums = stream + begin * COLUMNS;
    const REAL *first = (const REAL *)m->first + begin * (dim - 1), *bias = (const REAL *)m->first_bias + begin;
    if (rows && !m->residual && !m->given)
        NAME(rectified)(units + begin * COLUMNS, rows, bias, first, dim - 1, p, known);
    else if (rows) {
        NAME(dense)(sums, rows, bias, 1, first, dim - 1, p, known);
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
    NAME(dense)(h, m->params, (const REAL *)m->last_bias + feature, dim, (const REAL *)m->last + feature * width, dim * width, end,
                units + m->depth * area);
}

/* s = bound tanh(raw / bound); s = raw without a bound. */
static inline REAL NAME(bounded)(REAL raw, REAL bound) {
    REAL decay = EXP(-2 / bound * ABS(raw)), tame = bound * (1 - decay) / (1 + decay);
    return bound > (REAL)1e30 ? raw : raw < 0 ? -tame : tame;
}
