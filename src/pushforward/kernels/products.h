/* Products over a tile of the batch. Included once for each REAL.

   Rows are units or numbers; a row holds COLUMNS numbers, one for each member of the tile, in a few vector registers. */

/* A processor's registers: a vector of the width that it has, and how many of them some rows of a product take at once. */
#ifdef __AVX512F__
#define BYTES 64
#define VECTORS 4
#elif defined(__AVX__)
#define BYTES 32
#define VECTORS 2
#elif defined(__aarch64__)
#define BYTES 16
#define VECTORS 4
#else
#define BYTES 16
#define VECTORS 2
#endif
#define ROWS 6
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define LANES (BYTES / (int)sizeof(REAL))
#define COLUMNS (ROW_BYTES / (int)sizeof(REAL))

typedef REAL NAME(vector) __attribute__((vector_size(BYTES), aligned(BYTES)));
typedef __typeof__((NAME(vector)){0} < 0) NAME(lanes);

/* sum_k weight[r * down + k * along] in[k] for some rows r and columns at once, held in registers; bias of row r is bias[r * step].
   They are added to out (ADD), or stored with the bias (SET), with zeros for what is negative then (RECTIFY).

   Where a mask makes stairs of the weight, row r reads from `from[r]` on, or until `to[r]`, which both rise with r; NULL: all inputs. First
   those of a step that the first rows read alone, then what all have in common, then what is left to the last rows. */
#define ADD 0
#define SET 1
#define RECTIFY 2
#define INLINE static inline __attribute__((always_inline))

INLINE void NAME(step)(NAME(vector) (*sums)[VECTORS], const int first, const int last, const int vectors, const REAL *weight, ptrdiff_t down,
                       ptrdiff_t along, int begin, int end, const REAL *restrict in) {
    for (int k = begin; k < end; k++) {
        const NAME(vector) *x = (const NAME(vector) *)(in + k * COLUMNS);
        for (int r = first; r < last; r++)
            for (int v = 0; v < vectors; v++) sums[r][v] += weight[r * down + k * along] * x[v];
    }
}

INLINE void NAME(some_rows)(const int rows, const int vectors, const int how, REAL *restrict out, const REAL *bias, ptrdiff_t step,
                            const REAL *weight, ptrdiff_t down, ptrdiff_t along, const int *from, const int *to, int inputs,
                            const REAL *restrict in) {
    NAME(vector) sums[ROWS][VECTORS];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            sums[r][v] = how == ADD ? *(NAME(vector) *)(out + r * COLUMNS + v * LANES) : bias[r * step] - (NAME(vector)){0};
#define ALONE(r) if (from && r < rows) NAME(step)(sums, 0, r, vectors, weight, down, along, from[r - 1], from[r], in);
#define LEFT(r) if (to && r < rows) NAME(step)(sums, r, rows, vectors, weight, down, along, to[r - 1], to[r], in);
    ALONE(1) ALONE(2) ALONE(3) ALONE(4) ALONE(5)
    NAME(step)(sums, 0, rows, vectors, weight, down, along, from ? from[rows - 1] : 0, to ? to[0] : inputs, in);
    LEFT(1) LEFT(2) LEFT(3) LEFT(4) LEFT(5)
#undef ALONE
#undef LEFT
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) {
            NAME(lanes) negative = sums[r][v] < 0; /* all bits set where it is; what is no number stays so */
            *(NAME(vector) *)(out + r * COLUMNS + v * LANES) =
                how == RECTIFY ? (NAME(vector))((NAME(lanes))sums[r][v] & ~negative) : sums[r][v];
        }
}

INLINE void NAME(block)(const int vectors, const int how, REAL *out, int rows, const REAL *bias, ptrdiff_t step, const REAL *weight,
                        ptrdiff_t down, ptrdiff_t along, const int *from, const int *to, int inputs, const REAL *in) {
    int r = 0;
#define NEXT(count)                                                                                                                        \
    for (; r + count <= rows; r += count)                                                                                                  \
        NAME(some_rows)(count, vectors, how, out + r * COLUMNS, bias + r * step, step, weight + r * down, down, along, from ? from + r : 0, \
                        to ? to + r : 0, inputs, in);
    NEXT(6) NEXT(2) NEXT(1)
#undef NEXT
}

INLINE void NAME(rows)(const int how, REAL *out, int rows, const REAL *bias, ptrdiff_t step, const REAL *weight, ptrdiff_t down,
                       ptrdiff_t along, const int *from, const int *to, int inputs, const REAL *in) {
    for (int column = 0; column < COLUMNS; column += VECTORS * LANES)
        NAME(block)(VECTORS, how, out + column, rows, bias, step, weight, down, along, from, to, inputs, in + column);
}

/* out += weight in. */
static inline void NAME(product)(REAL *out, int rows, const REAL *weight, ptrdiff_t down, const int *to, int inputs, const REAL *in) {
    NAME(rows)(ADD, out, rows, weight, 0, weight, down, 1, 0, to, inputs, in);
}

/* out = weight in + bias. */
static inline void NAME(dense)(REAL *out, int rows, const REAL *bias, ptrdiff_t step, const REAL *weight, ptrdiff_t down, const int *to,
                               int inputs, const REAL *in) {
    NAME(rows)(SET, out, rows, bias, step, weight, down, 1, 0, to, inputs, in);
}

/* out = max(weight in + bias, 0). */
static inline void NAME(rectified)(REAL *out, int rows, const REAL *bias, const REAL *weight, ptrdiff_t down, const int *to, int inputs,
                                   const REAL *in) {
    NAME(rows)(RECTIFY, out, rows, bias, 1, weight, down, 1, 0, to, inputs, in);
}

/* out = weight^T in (SET), or added to it (ADD), for a weight (inputs, down). */
INLINE void NAME(transposed)(const int how, REAL *out, int rows, const REAL *weight, ptrdiff_t down, const int *from, int inputs,
                             const REAL *in) {
    static const REAL none = 0;
    NAME(rows)(how, out, rows, &none, 0, weight, 1, down, from, 0, inputs, in);
}

static inline void NAME(rectify)(REAL *out, const REAL *in, int numbers) {
    for (int i = 0; i < numbers; i++) out[i] = in[i] < 0 ? 0 : in[i];
}

/* Numbers of the tile that begins at a member of the batch; zeros beyond its end. */
static inline void NAME(load)(REAL *restrict tile, const REAL *restrict row, int n) {
    for (int i = 0; i < COLUMNS; i++) tile[i] = i < n ? row[i] : 0;
}
