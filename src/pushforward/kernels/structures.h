/* What Python hands over, each structure as a list of its fields: C makes the type of it, and Python at load the same from its text. */

#pragma once
#include <stddef.h>

#define MOST 64 /* bins or components at most */
#define ROW_BYTES 256 /* bytes of a number of each member of a tile of the batch */

typedef const void *source; /* of numbers, REAL */
typedef void *target;
typedef const void *const *sources;
typedef void *const *targets;
typedef const int *places;

/* A scalar map of numbers in blocks: parameter p of number i in block b is h[b * h_block + p * numbers + i]; other arrays are (blocks,
   numbers), g_h is (blocks, params, numbers). Splines have bins and floor, mixtures components and what they are of; y and q are the
   logit of a distribution function's value and the quantile that one component has there, in place of x. */
#define NUMBERS(FIELD)                                                                                                                     \
    FIELD(ptrdiff_t, blocks) FIELD(ptrdiff_t, numbers) FIELD(ptrdiff_t, h_block)                                                           \
    FIELD(int, threads) FIELD(int, inverse) FIELD(int, bins) FIELD(int, components) FIELD(int, gaussian) FIELD(int, quantile)              \
    FIELD(double, bound) FIELD(double, floor)                                                                                              \
    FIELD(source, x) FIELD(source, q) FIELD(source, h) FIELD(source, g_out) FIELD(source, g_slope)                                         \
    FIELD(target, out) FIELD(target, slope) FIELD(target, g_x) FIELD(target, g_h)

/* A layer of vectors, one of a run of them: x, out (dim, batch), and ldj (batch), to which it adds. Gradients are laid out as what they are
   gradients of; g_x may be g_out; copies: of the weights' gradients.

   A masked autoregressive layer. depth: square layers; bins: 0 for the affine map; order, ends: features by position, units known at a
   position; the masks as stairs, which rise: for each unit how many inputs it sees (degrees), its rows of a square layer (from) and of
   the last (last_from) that see it begin, columns of a square layer that it sees (to); columns of the last layer that its rows, by
   position, see (last_to). first (width, dim - 1), hidden (depth times width, width), last (params, dim, width), each with its bias; given (width, batch)
   or NULL. A coupling is one whose first positions, so many as are kept, pass unchanged, and whose others see these alone: then first is
   (width, kept) and last (params, dim - kept, width), its rows by position. units, of ROW_BYTES bytes each, (tiles, (depth + 1) width +
   rows of the last layer), or NULL: what each tile's units and parameters were, which the gradient need not compute again then.

   A linear map has no width: out = matrix x[order] + shift, or scale x[order] + shift, without order as they are; matrix (dim, dim), scale and
   shift (dim), each NULL where there is none. If inverse: out[order] = matrix (x - shift), where Python has inverted the matrix. */
#define LAYER(FIELD)                                                                                                                       \
    FIELD(ptrdiff_t, batch)                                                                                                                \
    FIELD(int, threads) FIELD(int, copies) FIELD(int, inverse) FIELD(int, bins) FIELD(int, dim) FIELD(int, kept) FIELD(int, width)         \
    FIELD(int, depth) FIELD(int, params) FIELD(int, residual) FIELD(double, bound) FIELD(double, floor) FIELD(places, order) FIELD(places, ends) \
    FIELD(places, degrees) FIELD(places, from) FIELD(places, to) FIELD(places, last_from) FIELD(places, last_to)                           \
    FIELD(source, x) FIELD(source, given) FIELD(source, first) FIELD(source, first_bias) FIELD(sources, hidden)                            \
    FIELD(sources, hidden_bias) FIELD(source, last) FIELD(source, last_bias) FIELD(source, g_out) FIELD(source, g_ldj)                     \
    FIELD(target, out) FIELD(target, ldj) FIELD(target, g_x) FIELD(target, g_given) FIELD(target, g_first) FIELD(target, g_first_bias)     \
    FIELD(targets, g_hidden) FIELD(targets, g_hidden_bias) FIELD(target, g_last) FIELD(target, g_last_bias)                                \
    FIELD(source, matrix) FIELD(source, scale) FIELD(source, shift) FIELD(target, g_matrix) FIELD(target, g_scale) FIELD(target, g_shift) \
    FIELD(target, units)

#define MEMBER(type, name) type name;
typedef struct { NUMBERS(MEMBER) } Numbers;
typedef struct { LAYER(MEMBER) } Layer;
