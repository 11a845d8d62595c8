/* Mixture distribution functions, alone or before a quantile function: value, log derivative, inverse and gradient in one pass.

   Built twice, for float and double. A tile of numbers, of whichever blocks, goes through together, so that every loop over i is a loop over vector registers. */

#ifndef REAL
#include "erfcx.h"
#include "structures.h"
#include <float.h>

enum { BELOW, ABOVE, DENSITY };

#define REAL float
#define NAME(name) name##_float
#define EPSILON FLT_EPSILON
#define LEAST 1.0842021724855044e-19f /* sqrt(FLT_MIN) */
#define UTMOST 1e18f /* of u */
#define FAINT -60.f
#include __FILE__
#undef REAL
#undef NAME
#undef EPSILON
#undef LEAST
#undef UTMOST
#undef FAINT
#define REAL double
#define NAME(name) name##_double
#define EPSILON DBL_EPSILON
#define LEAST 1.4916681462400413e-154 /* sqrt(DBL_MIN) */
#define UTMOST 1e150
#define FAINT -600.
#include __FILE__
#else
#include "mixture.h"

#define STEPS 40
#define EACH_TILE                                                                                                                          \
    const ptrdiff_t total = m->blocks * m->numbers, numbers = m->numbers;                                                                  \
    const int components = m->components, gaussian = m->gaussian, quantile = m->quantile;                                                  \
    _Pragma("omp parallel for schedule(dynamic, 4) num_threads(m->threads) if (m->threads > 1 && total * components > 4096)")              \
    for (ptrdiff_t at = 0; at < total; at += TILE)

/* The middle on the scale of asinh, so that a bracket of many decades takes a few steps. */
static inline REAL NAME(middle)(REAL low, REAL high) {
    REAL a = LOG(ABS(low) + SQRT(low * low + 1)), b = LOG(ABS(high) + SQRT(high * high + 1));
    REAL half = (REAL)0.5 * ((low < 0 ? -a : a) + (high < 0 ? -b : b)), e = EXP(ABS(half)), bent = (REAL)0.5 * (e - 1 / e);
    bent = half < 0 ? -bent : bent;
    return low < bent && bent < high ? bent : low + (REAL)0.5 * (high - low);
}

/* x with logit cdf(x) = y, between the components' own, mean + scale * q; the search of univariate/bisection.py on the scale of logits,
   where Newton's steps are good in both tails. It ends when every number of the tile has come to rounding, and then one step more. */
static void NAME(solve)(NAME(Mixture) *restrict w, const REAL *restrict y, const REAL *restrict q, REAL *restrict x, int n, int components,
                        int gaussian) {
    REAL low[TILE], high[TILE], last[TILE], at[TILE], miss_least[TILE];
    EACH {
        low[i] = INFINITY;
        high[i] = -INFINITY;
        at[i] = 0;
    }
    for (int k = 0; k < components; k++) EACH {
        REAL own = w->c[k].mean[i] + q[i] / w->c[k].rate[i];
        low[i] = own < low[i] ? own : low[i];
        high[i] = own > high[i] ? own : high[i];
        at[i] += w->c[k].p[i] * own;
    }
    EACH {
        REAL room = (REAL)1e-3 + (high[i] - low[i]) / 64 + 16 * EPSILON * (ABS(low[i]) + ABS(high[i]));
        low[i] -= room;
        high[i] += room;
        last[i] = high[i] - low[i];
        x[i] = at[i];
        miss_least[i] = INFINITY;
    }
    for (int step = 0, rough = 1; step < STEPS && rough; step++) {
        REAL far = 0;
        NAME(sums)(w, at, n, components, 1, gaussian);
        _Pragma("omp simd reduction(+ : far)") for (int i = 0; i < n; i++) {
            REAL below = w->sum[BELOW][i], above = w->sum[ABOVE][i], value = below - above, miss = ABS(value - y[i]);
            x[i] = miss < miss_least[i] ? at[i] : x[i];
            low[i] = value <= y[i] ? at[i] : low[i];
            high[i] = value >= y[i] ? at[i] : high[i];
            REAL move = (y[i] - value) * EXP(below + above - w->sum[DENSITY][i]), after = at[i] + move;
            int safe = after >= low[i] && after <= high[i] && ABS(move) <= (REAL)0.5 * last[i]; /* not if it is NaN */
            after = safe ? after : NAME(middle)(low[i], high[i]);
            /* the least miss of before: one step more than it takes to come to rounding */
            far += miss_least[i] > 8 * EPSILON * (1 + ABS(y[i])) && ABS(move) > 4 * EPSILON * ABS(at[i]) &&
                   high[i] - low[i] > 4 * EPSILON * ABS(at[i]);
            miss_least[i] = miss < miss_least[i] ? miss : miss_least[i];
            last[i] = ABS(after - at[i]);
            at[i] = after;
        }
        rough = far > 0;
    }
}

int NAME(mixture)(const Numbers *m) {
    const REAL *x = m->x;
    REAL *out = m->out, *slope = m->slope;
    EACH_TILE {
        NAME(Mixture) w;
        NAME(Stretches) s;
        const int n = total - at < TILE ? total - at : TILE;
        NAME(stretch)(&s, at, n, numbers, m->h_block);
        NAME(prepare)(&w, m->h, &s, numbers, n, components, m->bound);
        NAME(sums)(&w, x + at, n, components, quantile, gaussian);
        NAME(finish)(&w, out + at, slope + at, n, gaussian, quantile);
        if (!quantile) for (ptrdiff_t i = at; i < at + n; i++) {
            out[i] = out[i] < LEAST ? LEAST : out[i] > 1 - EPSILON / 2 ? 1 - EPSILON / 2 : out[i];
            slope[i] = ABS(x[i]) == INFINITY ? -INFINITY : slope[i];
        }
    }
    return 0;
}

/* x and its log derivative, from x = logit(z) of the cdf's value z and q = quantile(z) of one component. */
int NAME(mixture_inverse)(const Numbers *m) {
    const REAL *y = m->x, *q = m->q;
    REAL *out = m->out, *slope = m->slope;
    EACH_TILE {
        NAME(Mixture) w;
        NAME(Stretches) s;
        REAL z[TILE];
        const int n = total - at < TILE ? total - at : TILE;
        NAME(stretch)(&s, at, n, numbers, m->h_block);
        NAME(prepare)(&w, m->h, &s, numbers, n, components, m->bound);
        NAME(solve)(&w, y + at, q + at, out + at, n, components, gaussian);
        NAME(sums)(&w, out + at, n, components, quantile, gaussian);
        NAME(finish)(&w, z, slope + at, n, gaussian, quantile);
        for (int i = 0; i < n; i++) slope[at + i] = -slope[at + i];
    }
    return 0;
}

/* The gradients of x and h; of the inverse at its x, by the implicit function theorem, that of z in place of x's. */
int NAME(mixture_gradient)(const Numbers *m) {
    const REAL *x = m->x, *g_out = m->g_out, *g_slope = m->g_slope;
    const int inverse = m->inverse;
    REAL *g_x = m->g_x;
    EACH_TILE {
        NAME(Mixture) w;
        NAME(Stretches) s;
        REAL z[TILE], slope[TILE], to_z[TILE], to_slope[TILE], along[TILE], g[3][TILE];
        const int n = total - at < TILE ? total - at : TILE;
        NAME(stretch)(&s, at, n, numbers, m->h_block);
        NAME(prepare)(&w, m->h, &s, numbers, n, components, m->bound);
        NAME(sums)(&w, x + at, n, components, quantile, gaussian);
        NAME(finish)(&w, z, slope, n, gaussian, quantile);
        EACH {
            int inside = quantile || inverse || (z[i] >= LEAST && z[i] <= 1 - EPSILON / 2);
            to_z[i] = inverse ? 0 : inside ? g_out[at + i] : 0;
            to_slope[i] = inverse ? 1 : g_slope[at + i];
        }
        NAME(back)(&w, z, to_z, to_slope, g, along, n, components, gaussian, quantile);
        if (inverse) {
            EACH {
                REAL steep = EXP(slope[i]);
                steep = steep < LEAST ? LEAST : steep;
                to_slope[i] = -g_slope[at + i];
                to_z[i] = -(g_out[at + i] + to_slope[i] * along[i]) / steep;
                g_x[at + i] = -to_z[i];
            }
            NAME(back)(&w, z, to_z, to_slope, g, along, n, components, gaussian, quantile);
        } else
            EACH g_x[at + i] = along[i];
        NAME(stretch)(&s, at, n, numbers, 3 * components * numbers);
        NAME(back_to_h)(&w, g, m->g_h, &s, numbers, n, components, gaussian);
    }
    return 0;
}
#endif
