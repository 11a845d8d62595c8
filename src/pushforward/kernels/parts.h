/* What a run asks of each kind of layer. Included once for each REAL.

   A tile of the batch, forward and gradient, with memory of as many numbers as scratch says; sums of a job; what all tiles share of a call. */

int NAME(masked_prepares)(const Layer *m);
void NAME(masked_tile)(const Layer *m, const REAL *last, ptrdiff_t start, REAL *memory);
ptrdiff_t NAME(masked_scratch)(const Layer *m);
void NAME(masked_gradient_tile)(const Layer *m, const REAL *last, ptrdiff_t start, REAL *memory, REAL *sums);
ptrdiff_t NAME(masked_gradient_scratch)(const Layer *m);
ptrdiff_t NAME(masked_sums)(const Layer *m);
ptrdiff_t NAME(masked_shared)(const Layer *m);
void NAME(masked_prepare)(const Layer *m, REAL *last);
void NAME(masked_gather)(const Layer *m, const REAL *sums, ptrdiff_t stride, int jobs);

void NAME(linear_tile)(const Layer *m, ptrdiff_t start, REAL *memory);
void NAME(linear_gradient_tile)(const Layer *m, ptrdiff_t start, REAL *memory, REAL *sums);
ptrdiff_t NAME(linear_scratch)(const Layer *m);
ptrdiff_t NAME(linear_sums)(const Layer *m);
void NAME(linear_gather)(const Layer *m, const REAL *sums, ptrdiff_t stride, int jobs);
