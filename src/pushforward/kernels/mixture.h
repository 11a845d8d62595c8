/* Distribution functions of mixtures at a tile of numbers (univariate/mixture.py has the formulas). Included once for each REAL.

   A component's tail is exp(-E) m, with E = |u| and m = 1 / (1 + exp(-|u|)) for logistics, E = u^2 / 2 and m = erfcx(|u| / sqrt(2)) / 2
   for Gaussians. Sums are taken of exponents less their greatest, so that no tail is ever rounded to 0. */

#define TILE 64 /* numbers at most */
#define EACH _Pragma("omp simd") for (int i = 0; i < n; i++)
#define FADE(x) EXP((x) < FAINT ? FAINT : (x)) /* beside a sum of 1 such a number is nothing; times another it is still normal, and fast */
#define ROOT_HALF (REAL)0.70710678118654752440
#define ROOT_TAU (REAL)2.50662827463100050242 /* sqrt(2 pi) */
#define LOG_ROOT_TAU (REAL)0.91893853320467274178

/* What a tile's numbers know of one component. Side by side for each component: arrays a power of 2 apart would share cache lines. */
typedef struct {
    REAL log_p[TILE], p[TILE], mean[TILE], scale[TILE], rate[TILE], gate[TILE];
    REAL u[TILE], part[3][TILE];     /* part * share: what the component has of the sums BELOW, ABOVE, DENSITY */
    REAL lower[TILE], upper[TILE];   /* derivatives by u of log cdf(u) and -log(1 - cdf(u)) */
} NAME(Component);

typedef struct {
    NAME(Component) c[MOST];
    REAL share[3][TILE], sum[3][TILE]; /* the sums: logarithms of the mixture's cdf, of 1 - it, of its density */
} NAME(Mixture);

/* A tile is whatever TILE numbers come next, and may hold the ends of many blocks: stretches of one block each. */
typedef struct {
    int count, start[TILE + 1];
    ptrdiff_t at[TILE]; /* where in h the first parameter of its first number lies */
} NAME(Stretches);

static inline void NAME(stretch)(NAME(Stretches) *s, ptrdiff_t first, int n, ptrdiff_t numbers, ptrdiff_t h_block) {
    s->count = 0;
    for (int i = 0; i < n; s->count++) {
        const ptrdiff_t block = (first + i) / numbers, number = (first + i) % numbers;
        s->start[s->count] = i;
        s->at[s->count] = block * h_block + number;
        i += numbers - number < n - i ? numbers - number : n - i;
    }
    s->start[s->count] = n;
}

static inline void NAME(fetch)(REAL *restrict to, const REAL *restrict h, const NAME(Stretches) *restrict s) {
    for (int j = 0; j < s->count; j++)
        for (int i = s->start[j]; i < s->start[j + 1]; i++) to[i] = h[s->at[j] + i - s->start[j]];
}

static inline void NAME(store)(REAL *restrict h, const REAL *restrict from, const NAME(Stretches) *restrict s) {
    for (int j = 0; j < s->count; j++)
        for (int i = s->start[j]; i < s->start[j + 1]; i++) h[s->at[j] + i - s->start[j]] = from[i];
}

/* Log-weights by softmax, means, log-scales within the bound and what they depend on. */
static inline void NAME(prepare)(NAME(Mixture) *restrict w, const REAL *restrict h, const NAME(Stretches) *s, ptrdiff_t row, int n,
                                 int components, REAL bound) {
    REAL most[TILE], total[TILE];
    EACH {
        most[i] = -INFINITY;
        total[i] = 0;
    }
    for (int k = 0; k < components; k++) {
        NAME(fetch)(w->c[k].log_p, h + k * row, s);
        NAME(fetch)(w->c[k].mean, h + (components + k) * row, s);
        NAME(fetch)(w->c[k].scale, h + (2 * components + k) * row, s);
        EACH most[i] = w->c[k].log_p[i] > most[i] ? w->c[k].log_p[i] : most[i];
    }
    for (int k = 0; k < components; k++) EACH {
        REAL e = EXP(w->c[k].log_p[i] - most[i]);
        w->c[k].p[i] = e;
        total[i] += e;
    }
    EACH {
        most[i] += LOG(total[i]);
        total[i] = 1 / total[i];
    }
    for (int k = 0; k < components; k++) EACH {
        REAL t = TANH(w->c[k].scale[i] / bound), scale = bound * t;
        w->c[k].log_p[i] -= most[i];
        w->c[k].p[i] *= total[i];
        w->c[k].scale[i] = scale;
        w->c[k].rate[i] = EXP(-scale);
        w->c[k].gate[i] = 1 - t * t;
    }
}

static inline __attribute__((always_inline)) void NAME(sums_of)(NAME(Mixture) *restrict w, const REAL *restrict x, int n, int components,
                                                                int above, const int gaussian) {
    REAL most[3][TILE], total[3][TILE];
    for (int s = 0; s < 3; s++) EACH {
        most[s][i] = -INFINITY;
        total[s][i] = 0;
    }
    for (int k = 0; k < components; k++) EACH {
        REAL u = (x[i] - w->c[k].mean[i]) * w->c[k].rate[i], p = w->c[k].log_p[i];
        u = u > UTMOST ? UTMOST : u < -UTMOST ? -UTMOST : u;
        REAL far = gaussian ? (REAL)0.5 * u * u : ABS(u);
        REAL b = p - (u < 0 ? far : 0), a = p - (u < 0 ? 0 : far), d = p - w->c[k].scale[i] - far;
        w->c[k].u[i] = u;
        most[BELOW][i] = b > most[BELOW][i] ? b : most[BELOW][i];
        most[ABOVE][i] = a > most[ABOVE][i] ? a : most[ABOVE][i];
        most[DENSITY][i] = d > most[DENSITY][i] ? d : most[DENSITY][i];
    }
    for (int k = 0; k < components; k++) {
        REAL factor[TILE];
        EACH {
            REAL u = w->c[k].u[i], p = w->c[k].log_p[i], far = gaussian ? (REAL)0.5 * u * u : ABS(u), e = FADE(-far);
            REAL m = gaussian ? (REAL)0.5 * ERFCX(ABS(u) * ROOT_HALF) : 1 / (1 + e), near = gaussian ? 1 - m * e : m;
            REAL peak = gaussian ? 1 / ROOT_TAU : m * m, in_tail = gaussian ? peak / m : m, beyond = gaussian ? peak * e / near : m * e;
            REAL b = FADE(p - (u < 0 ? far : 0) - most[BELOW][i]) * (u < 0 ? m : near);
            REAL d = FADE(p - w->c[k].scale[i] - far - most[DENSITY][i]) * peak;
            w->c[k].lower[i] = u < 0 ? in_tail : beyond;
            w->c[k].upper[i] = u < 0 ? beyond : in_tail;
            w->c[k].part[BELOW][i] = b;
            w->c[k].part[DENSITY][i] = d;
            total[BELOW][i] += b;
            total[DENSITY][i] += d;
            factor[i] = u < 0 ? near : m;
        }
        if (above) EACH {
            REAL u = w->c[k].u[i], far = gaussian ? (REAL)0.5 * u * u : ABS(u);
            REAL a = FADE(w->c[k].log_p[i] - (u < 0 ? 0 : far) - most[ABOVE][i]) * factor[i];
            w->c[k].part[ABOVE][i] = a;
            total[ABOVE][i] += a;
        }
        else EACH w->c[k].part[ABOVE][i] = 0;
    }
    if (!above) EACH total[ABOVE][i] = 1; /* not asked for: the components' shares are 0 */
    for (int s = 0; s < 3; s++) EACH {
        w->share[s][i] = 1 / total[s][i];
        w->sum[s][i] = most[s][i] + LOG(total[s][i]);
    }
}

/* The mixture's logarithms at x, and what each component has of them. */
static void NAME(sums)(NAME(Mixture) *restrict w, const REAL *restrict x, int n, int components, int above, int gaussian) {
    if (gaussian)
        NAME(sums_of)(w, x, n, components, above, 1);
    else
        NAME(sums_of)(w, x, n, components, above, 0);
}

/* The normal distribution's z with log cdf(z) = y <= -log 2: Newton's steps from a fraction that is near (Abramowitz, Stegun, 26.2.23). */
static inline REAL NAME(log_quantile)(REAL y) {
    REAL r = 1 / SQRT(-2 * y);
    REAL top = r * ((REAL)0.010328 + r * ((REAL)0.802853 + r * (REAL)2.515517));
    REAL z = top / ((REAL)0.001308 + r * ((REAL)0.189269 + r * ((REAL)1.432788 + r))) - 1 / r;
    for (int step = 0; step < 3; step++) {
        REAL m = (REAL)0.5 * ERFCX(-z * ROOT_HALF);
        z -= (LOG(m) - (REAL)0.5 * z * z - y) * m * ROOT_TAU;
    }
    return z;
}

/* Value and log derivative: the cdf itself, or carried on by the quantile function of a component. */
static inline void NAME(finish)(NAME(Mixture) *restrict w, REAL *restrict out, REAL *restrict slope, int n, int gaussian, int quantile) {
    const REAL *restrict below = w->sum[BELOW], *restrict above = w->sum[ABOVE], *restrict density = w->sum[DENSITY];
    if (!quantile) EACH {
        out[i] = EXP(below[i]);
        slope[i] = density[i];
    }
    else if (!gaussian) EACH {
        out[i] = below[i] - above[i];
        slope[i] = density[i] - below[i] - above[i];
    }
    else EACH {
        REAL z = NAME(log_quantile)(below[i] < above[i] ? below[i] : above[i]);
        out[i] = below[i] < above[i] ? z : -z;
        slope[i] = density[i] + (REAL)0.5 * z * z + LOG_ROOT_TAU;
    }
}

/* The gradient of u of a component. */
static inline REAL NAME(to_u)(NAME(Mixture) *restrict w, REAL (*restrict g)[TILE], int k, int i, int gaussian) {
    REAL lower = w->c[k].lower[i], upper = w->c[k].upper[i], turn = gaussian ? -w->c[k].u[i] : lower - upper; /* of the log density */
    REAL b = w->c[k].part[BELOW][i] * w->share[BELOW][i], d = w->c[k].part[DENSITY][i] * w->share[DENSITY][i];
    REAL a = w->c[k].part[ABOVE][i] * w->share[ABOVE][i];
    return g[BELOW][i] * b * lower - g[ABOVE][i] * a * upper + g[DENSITY][i] * d * turn;
}

/* What the sums get from value and log derivative, and x from the sums. */
static inline void NAME(back)(NAME(Mixture) *restrict w, const REAL *restrict z, const REAL *restrict g_z, const REAL *restrict g_slope,
                              REAL (*restrict g)[TILE], REAL *restrict g_x, int n, int components, int gaussian, int quantile) {
    if (!quantile) EACH {
        g[BELOW][i] = g_z[i] * z[i];
        g[ABOVE][i] = 0;
    }
    else if (!gaussian) EACH {
        g[BELOW][i] = g_z[i] - g_slope[i];
        g[ABOVE][i] = -g_z[i] - g_slope[i];
    }
    else EACH {
        REAL both = (g_z[i] + g_slope[i] * z[i]) * (REAL)0.5 * ROOT_TAU * ERFCX(ABS(z[i]) * ROOT_HALF);
        g[BELOW][i] = z[i] < 0 ? both : 0;
        g[ABOVE][i] = z[i] < 0 ? 0 : -both;
    }
    EACH {
        g[DENSITY][i] = g_slope[i];
        g_x[i] = 0;
    }
    for (int k = 0; k < components; k++) EACH g_x[i] += w->c[k].rate[i] * NAME(to_u)(w, g, k, i, gaussian);
}

/* The gradient of h from those of the sums. */
static inline void NAME(back_to_h)(NAME(Mixture) *restrict w, REAL (*restrict g)[TILE], REAL *restrict g_h, const NAME(Stretches) *s,
                                   ptrdiff_t row, int n, int components, int gaussian) {
    REAL to_weight[TILE], to_mean[TILE], to_scale[TILE];
    for (int k = 0; k < components; k++) {
        EACH {
            REAL b = w->c[k].part[BELOW][i] * w->share[BELOW][i], d = w->c[k].part[DENSITY][i] * w->share[DENSITY][i];
            REAL a = w->c[k].part[ABOVE][i] * w->share[ABOVE][i], t = NAME(to_u)(w, g, k, i, gaussian);
            REAL all = g[BELOW][i] + g[ABOVE][i] + g[DENSITY][i];
            to_weight[i] = g[BELOW][i] * b + g[ABOVE][i] * a + g[DENSITY][i] * d - all * w->c[k].p[i];
            to_mean[i] = -t * w->c[k].rate[i];
            to_scale[i] = -(t * w->c[k].u[i] + g[DENSITY][i] * d) * w->c[k].gate[i];
        }
        NAME(store)(g_h + k * row, to_weight, s);
        NAME(store)(g_h + (components + k) * row, to_mean, s);
        NAME(store)(g_h + (2 * components + k) * row, to_scale, s);
    }
}
