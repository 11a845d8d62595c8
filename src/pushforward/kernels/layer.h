/* What kernels/made.py hands over of a masked autoregressive layer; pointers are to REAL. */

#pragma once
#include <stddef.h>

typedef struct {
    ptrdiff_t batch;
    int dim, width, depth, params, residual, inverse, bins; /* depth: square layers; bins: 0 for the affine map */
    double bound, floor;
    const int *order, *ends;                                /* features by position; units known at a position */
    const void *first, *first_bias, *context;               /* (width, dim - 1), (width), (width, batch) or NULL */
    const void *const *hidden, *const *hidden_bias;         /* depth times (width, width), (width) */
    const void *last, *last_bias;                           /* (params, dim, width), (params, dim) */
    const void *x;                                          /* (dim, batch) */
    void *out, *ldj;                                        /* (dim, batch), (batch) */
} Layer;
