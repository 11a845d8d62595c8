/* Rational-quadratic splines: value, log derivative and gradient, one pass over the numbers.

   Built twice, for float and double. Numbers come in blocks: parameter p of number i in block b is h[b * h_block + p * numbers + i].
   A tile of numbers goes through together, so that every loop over i is a loop over vector registers. */

#ifndef REAL
#include "elementary.h"

#define REAL float
#define NAME(name) name##_float
#include __FILE__
#undef REAL
#undef NAME
#define REAL double
#define NAME(name) name##_double
#include __FILE__
#else
#include "rational.h"

void NAME(spline)(const REAL *y, const REAL *h, REAL *out, REAL *slope, ptrdiff_t blocks, ptrdiff_t numbers, ptrdiff_t h_block, int bins,
                  double bound, double floor, int inverse) {
    const ptrdiff_t tiles = (numbers + TILE - 1) / TILE;
#pragma omp parallel for if (blocks * numbers > 2048)
    for (ptrdiff_t job = 0; job < blocks * tiles; job++) {
        NAME(Tile) w;
        const ptrdiff_t block = job / tiles, first = job % tiles * TILE, at = block * numbers + first;
        const int n = numbers - first < TILE ? numbers - first : TILE;
        NAME(locate)(&w, y + at, h + block * h_block + first, numbers, n, bins, bound, floor, inverse);
        NAME(evaluate)(&w, y + at, out + at, slope + at, n, bound, inverse);
    }
}

void NAME(spline_gradient)(const REAL *y, const REAL *h, const REAL *g_out, const REAL *g_slope, REAL *g_y, REAL *g_h, ptrdiff_t blocks,
                           ptrdiff_t numbers, ptrdiff_t h_block, int bins, double bound, double floor, int inverse) {
    const ptrdiff_t tiles = (numbers + TILE - 1) / TILE;
#pragma omp parallel for if (blocks * numbers > 2048)
    for (ptrdiff_t job = 0; job < blocks * tiles; job++) {
        NAME(Tile) w;
        const ptrdiff_t block = job / tiles, first = job % tiles * TILE, at = block * numbers + first;
        const int n = numbers - first < TILE ? numbers - first : TILE;
        NAME(locate)(&w, y + at, h + block * h_block + first, numbers, n, bins, bound, floor, inverse);
        NAME(differentiate)(&w, g_out + at, g_slope + at, g_y + at, g_h + block * (3 * bins - 1) * numbers + first, numbers, n, bins, bound,
                            floor, inverse);
    }
}
#endif
