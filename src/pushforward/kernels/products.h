/* Products over a tile of the batch. Included once for each REAL.

   Rows are units or numbers; a row holds COLUMNS numbers, one for each member of the tile, in a few vector registers. */

/* A processor's registers: a vector of the width that it has, and how many of them some rows of a product take at once. */
#ifdef __AVX512F__
#define BYTES 64
#define VECTORS 4
#else
#define BYTES 32
#define VECTORS 2
#endif
#define ROWS 6
#define LANES (BYTES / (int)sizeof(REAL))
#define COLUMNS (ROW_BYTES / (int)sizeof(REAL))

typedef REAL NAME(vector) __attribute__((vector_size(BYTES), aligned(BYTES)));
typedef __typeof__((NAME(vector)){0} < 0) NAME(lanes);

/* sum_k weight[r * down + k * along] in[k] for some rows r and columns at once, held in registers; bias of row r is bias[r * step].
   They are added to out (ADD), or stored with the bias (SET), with zeros for what is negative then (RECTIFY). */
#define ADD 0
#define SET 1
#define RECTIFY 2
#define INLINE static inline __attribute__((always_inline))

INLINE void NAME(some_rows)(const int rows, const int vectors, const int how, REAL *restrict out, const REAL *bias, ptrdiff_t step,
                            const REAL *weight, ptrdiff_t down, ptrdiff_t along, int inputs, const REAL *restrict in) {
    NAME(vector) sums[ROWS][VECTORS];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            sums[r][v] = how == ADD ? *(NAME(vector) *)(out + r * COLUMNS + v * LANES) : bias[r * step] - (NAME(vector)){0};
    for (int k = 0; k < inputs; k++) {
        const NAME(vector) *x = (const NAME(vector) *)(in + k * COLUMNS);
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < vectors; v++) sums[r][v] += weight[r * down + k * along] * x[v];
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) {
            NAME(lanes) negative = sums[r][v] < 0; /* all bits set where it is; what is no number stays so */
            *(NAME(vector) *)(out + r * COLUMNS + v * LANES) =
                how == RECTIFY ? (NAME(vector))((NAME(lanes))sums[r][v] & ~negative) : sums[r][v];
        }
}

INLINE void NAME(block)(const int vectors, const int how, REAL *out, int rows, const REAL *bias, ptrdiff_t step, const REAL *weight,
                        ptrdiff_t down, ptrdiff_t along, int inputs, const REAL *in) {
    for (; rows >= ROWS; rows -= ROWS, out += ROWS * COLUMNS, weight += ROWS * down, bias += ROWS * step)
        NAME(some_rows)(ROWS, vectors, how, out, bias, step, weight, down, along, inputs, in);
    for (; rows >= 2; rows -= 2, out += 2 * COLUMNS, weight += 2 * down, bias += 2 * step)
        NAME(some_rows)(2, vectors, how, out, bias, step, weight, down, along, inputs, in);
    if (rows) NAME(some_rows)(1, vectors, how, out, bias, step, weight, down, along, inputs, in);
}

INLINE void NAME(rows)(const int how, REAL *out, int rows, const REAL *bias, ptrdiff_t step, const REAL *weight, ptrdiff_t down,
                       ptrdiff_t along, int inputs, const REAL *in) {
    for (int column = 0; column < COLUMNS; column += VECTORS * LANES)
        NAME(block)(VECTORS, how, out + column, rows, bias, step, weight, down, along, inputs, in + column);
}

/* out += weight in. */
static inline void NAME(product)(REAL *out, int rows, const REAL *weight, ptrdiff_t down, ptrdiff_t along, int inputs, const REAL *in) {
    NAME(rows)(ADD, out, rows, weight, 0, weight, down, along, inputs, in);
}

/* out = weight in + bias. */
static inline void NAME(dense)(REAL *out, int rows, const REAL *bias, ptrdiff_t step, const REAL *weight, ptrdiff_t down, int inputs, const REAL *in) {
    NAME(rows)(SET, out, rows, bias, step, weight, down, 1, inputs, in);
}

/* out = max(weight in + bias, 0). */
static inline void NAME(rectified)(REAL *out, int rows, const REAL *bias, const REAL *weight, ptrdiff_t down, int inputs, const REAL *in) {
    NAME(rows)(RECTIFY, out, rows, bias, 1, weight, down, 1, inputs, in);
}

static inline void NAME(rectify)(REAL *out, const REAL *in, int numbers) {
    for (int i = 0; i < numbers; i++) out[i] = in[i] < 0 ? 0 : in[i];
}

/* Numbers of the tile that begins at a member of the batch; zeros beyond its end. */
static inline void NAME(load)(REAL *restrict tile, const REAL *restrict row, int n) {
    for (int i = 0; i < COLUMNS; i++) tile[i] = i < n ? row[i] : 0;
}
