/* Rational-quadratic splines: value, log derivative and gradient, one pass over the numbers.

   Built twice, for float and double. A tile of numbers goes through together, so that every loop over i is one over vector registers. */

#ifndef REAL
#include "elementary.h"
#include "structures.h"

#define SOURCE "spline.c"
#include "twice.h"
#else
#include "rational.h"

static void NAME(tile)(const Numbers *m, ptrdiff_t block, ptrdiff_t first, int gradient) {
    NAME(Tile) w;
    const ptrdiff_t at = block * m->numbers + first, row = m->numbers;
    const int n = m->numbers - first < TILE ? m->numbers - first : TILE;
    const REAL *x = (const REAL *)m->x + at;
    NAME(locate)(&w, x, (const REAL *)m->h + block * m->h_block + first, row, n, m->bins, m->bound, m->floor, m->inverse);
    if (gradient) {
        REAL *g_h = (REAL *)m->g_h + block * (3 * m->bins - 1) * row + first;
        NAME(differentiate)(&w, (const REAL *)m->g_out + at, (const REAL *)m->g_slope + at, (REAL *)m->g_x + at, g_h, row, n, m->bins, m->bound,
                            m->floor, m->inverse);
    } else
        NAME(evaluate)(&w, x, (REAL *)m->out + at, (REAL *)m->slope + at, n, m->bound, m->inverse);
}

static int NAME(tiles)(const Numbers *m, int gradient) {
    const ptrdiff_t tiles = (m->numbers + TILE - 1) / TILE;
#pragma omp parallel for num_threads(m->threads) if (m->threads > 1 && m->blocks * m->numbers > 2048)
    for (ptrdiff_t job = 0; job < m->blocks * tiles; job++) NAME(tile)(m, job / tiles, job % tiles * TILE, gradient);
    return 0;
}

int NAME(spline)(const Numbers *m) { return NAME(tiles)(m, 0); }

int NAME(spline_gradient)(const Numbers *m) { return NAME(tiles)(m, 1); }
#endif
