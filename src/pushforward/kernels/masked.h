/* Masked products over a tile of the batch, and the visit of one position. Included once for each REAL.

   Rows are units or numbers; a row holds COLUMNS numbers, one for each member of the tile, in a few vector registers. */

#include "rational.h"

typedef REAL NAME(vector) __attribute__((vector_size(64), aligned(64)));
#define VECTORS 4
#define COLUMNS (VECTORS * 64 / (int)sizeof(REAL))

/* out[r] += sum_k weight[r * down + k * along] in[k] for some rows at once, whose sums stay in registers. */
static inline __attribute__((always_inline)) void NAME(some_rows)(const int rows, REAL *restrict out, const REAL *weight, ptrdiff_t down,
                                                                  ptrdiff_t along, int inputs, const REAL *restrict in) {
    NAME(vector) sums[4][VECTORS];
    NAME(vector) *o = (NAME(vector) *)out;
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < VECTORS; v++) sums[r][v] = o[r * VECTORS + v];
    for (int k = 0; k < inputs; k++) {
        const NAME(vector) *x = (const NAME(vector) *)(in + k * COLUMNS);
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < VECTORS; v++) sums[r][v] += weight[r * down + k * along] * x[v];
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < VECTORS; v++) o[r * VECTORS + v] = sums[r][v];
}

static inline void NAME(product)(REAL *out, int rows, const REAL *weight, ptrdiff_t down, ptrdiff_t along, int inputs, const REAL *in) {
    for (; rows >= 4; rows -= 4, out += 4 * COLUMNS, weight += 4 * down) NAME(some_rows)(4, out, weight, down, along, inputs, in);
    if (rows == 3) NAME(some_rows)(3, out, weight, down, along, inputs, in);
    if (rows == 2) NAME(some_rows)(2, out, weight, down, along, inputs, in);
    if (rows == 1) NAME(some_rows)(1, out, weight, down, along, inputs, in);
}

static inline void NAME(fill)(REAL *out, int rows, const REAL *bias, ptrdiff_t down) {
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < COLUMNS; i++) out[r * COLUMNS + i] = bias[r * down];
}

/* What is not a number stays so. */
static inline void NAME(rectify)(REAL *out, const REAL *in, int numbers) {
    for (int i = 0; i < numbers; i++) out[i] = in[i] < 0 ? 0 : in[i];
}

/* Numbers of the tile that begins at a member of the batch; zeros beyond its end. */
static inline void NAME(load)(REAL *restrict tile, const REAL *restrict row, int n) {
    for (int i = 0; i < COLUMNS; i++) tile[i] = i < n ? row[i] : 0;
}

/* The parameters h of the position p, from the inputs before it: computes the units that it is the first to need.

   units: rectified, (depth + 1) times (width, COLUMNS); stream: (width, COLUMNS), sums of the first layer and of the residual blocks. */
static inline void NAME(visit)(const Layer *m, int p, ptrdiff_t start, int n, const REAL *known, REAL *units, REAL *stream, REAL *h) {
    const ptrdiff_t width = m->width, dim = m->dim, area = width * COLUMNS, begin = p ? m->ends[p - 1] : 0;
    const int feature = m->order[p], end = m->ends[p], rows = end - begin;
    REAL *sums = stream + begin * COLUMNS;
    if (rows) {
        NAME(fill)(sums, rows, (const REAL *)m->first_bias + begin, 1);
        if (m->context)
            for (int r = 0; r < rows; r++)
                for (int i = 0; i < n; i++) sums[r * COLUMNS + i] += ((const REAL *)m->context)[(begin + r) * m->batch + start + i];
        NAME(product)(sums, rows, (const REAL *)m->first + begin * (dim - 1), dim - 1, 1, p, known);
        NAME(rectify)(units + begin * COLUMNS, sums, rows * COLUMNS);
    }
    for (int j = 0; rows && j < m->depth; j++) {
        const int adds = m->residual && j % 2; /* a block ends */
        const REAL *bias = (const REAL *)m->hidden_bias[j] + begin;
        REAL *next = units + (j + 1) * area + begin * COLUMNS, *to = adds ? sums : next;
        if (adds)
            for (int r = 0; r < rows; r++)
                for (int i = 0; i < COLUMNS; i++) sums[r * COLUMNS + i] += bias[r];
        else
            NAME(fill)(next, rows, bias, 1);
        NAME(product)(to, rows, (const REAL *)m->hidden[j] + begin * width, width, 1, end, units + j * area);
        NAME(rectify)(next, to, rows * COLUMNS);
    }
    NAME(fill)(h, m->params, (const REAL *)m->last_bias + feature, dim);
    NAME(product)(h, m->params, (const REAL *)m->last + feature * width, dim * width, 1, end, units + m->depth * area);
}

/* s = bound tanh(raw / bound); s = raw without a bound. */
static inline REAL NAME(bounded)(REAL raw, REAL bound) {
    REAL decay = EXP(-2 / bound * ABS(raw)), tame = bound * (1 - decay) / (1 + decay);
    return bound > (REAL)1e30 ? raw : raw < 0 ? -tame : tame;
}
