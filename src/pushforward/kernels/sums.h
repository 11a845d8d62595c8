/* Gradients of weights, which are sums over the batch. Included once for each REAL, behind products.h.

   Every job takes a fixed share of the tiles and has its own sums, added in a fixed order in the end: the same number of jobs gives the same
   result to the bit. Sums of a weight (rows, columns) are held in panels of COLUMNS columns, so that they are the same kind of product as
   all others: rows of gradients times activations with the batch going down. */

#ifdef __clang__ /* which has no shuffle by a vector */
#define SHUFFLE(a, b, from) ({ __typeof__(a) made; for (int l = 0; l < LANES; l++) made[l] = from[l] < LANES ? a[from[l]] : b[from[l] - LANES]; made; })
#else
#define SHUFFLE(a, b, from) __builtin_shuffle(a, b, from)
#endif
#define PANELS(columns) (((columns) + COLUMNS - 1) / COLUMNS)

static inline ptrdiff_t NAME(padded)(ptrdiff_t numbers) { return (numbers + COLUMNS - 1) / COLUMNS * COLUMNS; }

/* Numbers of a job's sums: for each layer its weight in panels, then its bias. */
static inline ptrdiff_t NAME(sums_of)(ptrdiff_t rows, ptrdiff_t columns) { return PANELS(columns) * rows * COLUMNS + NAME(padded)(rows); }

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
static inline void NAME(turn)(REAL *turned, const REAL *in, int rows) {
    for (int k = 0; k < rows; k += LANES)
        for (int i = 0; i < COLUMNS; i += LANES) {
            NAME(vector) square[LANES];
            for (int r = 0; r < LANES; r++) square[r] = k + r < rows ? *(NAME(vector) *)(in + (k + r) * COLUMNS + i) : (NAME(vector)){0};
            NAME(swap)(square, 1);
            if (LANES > 2) NAME(swap)(square, 2);
            if (LANES > 4) NAME(swap)(square, 4);
            if (LANES > 8) NAME(swap)(square, 8);
            for (int r = 0; r < LANES; r++) *(NAME(vector) *)(turned + (i + r) * COLUMNS + k) = square[r];
        }
}

/* sums += g turned, for two vectors of columns, and for one. */
static inline void NAME(two)(REAL *sums, int rows, const REAL *g, const REAL *turned) {
    NAME(block)(2, ADD, sums, rows, g, 0, g, COLUMNS, 1, 0, 0, COLUMNS, turned);
}
static inline void NAME(one)(REAL *sums, int rows, const REAL *g, const REAL *turned) {
    NAME(block)(1, ADD, sums, rows, g, 0, g, COLUMNS, 1, 0, 0, COLUMNS, turned);
}

/* sums += g in^T for rows that see the columns until `to`, which rises; NULL: all. */
static inline void NAME(weigh)(REAL *sums, ptrdiff_t rows, ptrdiff_t columns, const REAL *g, const REAL *in, const int *to) {
    REAL turned[COLUMNS * COLUMNS] __attribute__((aligned(64)));
    REAL *bias = sums + PANELS(columns) * rows * COLUMNS;
    ptrdiff_t from = 0;
    for (ptrdiff_t column = 0; column < columns; column += COLUMNS, sums += rows * COLUMNS) {
        const ptrdiff_t here = columns - column < COLUMNS ? columns - column : COLUMNS;
        NAME(turn)(turned, in + column * COLUMNS, here);
        for (ptrdiff_t strip = 0; strip < here; strip += 2 * LANES) {
            while (to && from < rows && to[from] <= column + strip) from++;
            (here - strip > LANES ? NAME(two) : NAME(one))(sums + from * COLUMNS + strip, rows - from, g + from * COLUMNS, turned + strip);
        }
    }
    for (ptrdiff_t r = 0; r < rows; r++) {
        REAL sum = 0;
        _Pragma("omp simd reduction(+ : sum)") for (int i = 0; i < COLUMNS; i++) sum += g[r * COLUMNS + i];
        bias[r] += sum;
    }
}

/* All jobs' sums of a layer, out of panels; row r sees so many columns, NULL: all, and where there is an order, its rows, params of each position,
   are put back to the features. */
static inline void NAME(gather)(const REAL *sums, ptrdiff_t stride, int jobs, ptrdiff_t rows, ptrdiff_t columns, REAL *weight, REAL *bias,
                         const int *see, const int *order, int params, int dim) {
#pragma omp parallel for schedule(static) num_threads(jobs) if (jobs > 1)
    for (ptrdiff_t r = 0; r < rows; r++) {
        const ptrdiff_t to = order ? r % params * dim + order[r / params] : r, sees = see ? see[r] : columns;
        if (columns) memset(weight + to * columns, 0, columns * sizeof(REAL));
        for (int job = 0; job < jobs; job++)
            for (ptrdiff_t column = 0; column < sees; column += COLUMNS) {
                const REAL *from = sums + (column * rows + r * COLUMNS) + job * stride;
                const ptrdiff_t here = sees - column < COLUMNS ? sees - column : COLUMNS;
                for (ptrdiff_t k = 0; k < here; k++) weight[to * columns + column + k] += from[k];
            }
        REAL sum = 0;
        for (int job = 0; job < jobs; job++) sum += sums[PANELS(columns) * rows * COLUMNS + r + job * stride];
        bias[to] = sum;
    }
}
