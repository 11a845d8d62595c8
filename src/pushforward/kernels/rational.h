/* Rational-quadratic splines of a tile of numbers (univariate/rational.py has the formulas). Included once for each REAL. */

#define TILT 30
#define TILE 64 /* numbers at most */
#define EACH _Pragma("omp simd") for (int i = 0; i < n; i++)

/* What a tile's numbers need to know of their bins. */
typedef struct {
    REAL e[2][MOST][TILE], rate[2][TILE];             /* exponentials of the logits; what one of them adds to a size */
    REAL k[TILE], left[2][TILE], size[2][3][TILE];    /* bin, its left ends, sizes of the bin before, it, the bin after */
    REAL gate[2][TILE], mean[2][TILE], ends[2][TILE]; /* as in Pieces */
    REAL y[TILE], inside[TILE], t[TILE];
} NAME(Tile);

static inline void NAME(locate)(NAME(Tile) *restrict w, const REAL *restrict y, const REAL *restrict h, ptrdiff_t row, int n, int bins, REAL bound,
                         REAL floor, int inverse) {
    const REAL least = 2 * bound * floor, free = 2 * bound * (1 - bins * floor);
    for (int axis = 0; axis < 2; axis++) {
        REAL most[TILE], total[TILE];
        const REAL *logits = h + axis * bins * row;
        EACH most[i] = logits[i];
        for (int j = 1; j < bins; j++) EACH most[i] = logits[j * row + i] > most[i] ? logits[j * row + i] : most[i];
        EACH total[i] = 0;
        for (int j = 0; j < bins; j++) EACH {
            REAL e = EXP(logits[j * row + i] - most[i]);
            w->e[axis][j][i] = e;
            total[i] += e;
        }
        EACH w->rate[axis][i] = free / total[i];
    }
    EACH {
        w->inside[i] = ABS(y[i]) <= bound;
        w->y[i] = w->inside[i] != 0 ? y[i] : 0; /* what comes of a number outside is not used, and must be finite */
    }
    /* The knots of a bin and of its neighbours, with an imaginary bin at either end. The last knot is the bound itself, where the tail begins,
       and no sum; sums are told what rounding took off them (Kahan). */
    REAL knot[2][4][TILE], lost[2][TILE];
    for (int axis = 0; axis < 2; axis++) EACH {
        knot[axis][1][i] = knot[axis][2][i] = -3 * bound;
        knot[axis][3][i] = -bound;
        lost[axis][i] = 0;
    }
    const REAL *gates = h + 2 * bins * row;
    for (int j = -1; j < bins; j++) {
        const int before = j ? j - 1 : 0, right = j < bins - 1 ? j : bins - 2;
        for (int axis = 0; axis < 2; axis++) {
            for (int place = 0; place < 3; place++) EACH knot[axis][place][i] = knot[axis][place + 1][i];
            if (j < bins - 2) EACH {
                REAL size = w->e[axis][j + 1][i] * w->rate[axis][i] + least - lost[axis][i], next = knot[axis][2][i] + size;
                lost[axis][i] = (next - knot[axis][2][i]) - size;
                knot[axis][3][i] = next;
            }
            else EACH knot[axis][3][i] = j == bins - 2 ? bound : 3 * bound;
        }
        if (j < 0) continue;
        EACH {
            int here = j == 0 || w->y[i] > knot[inverse][1][i];
            w->k[i] = here ? j : w->k[i];
            w->gate[0][i] = here ? gates[before * row + i] : w->gate[0][i];
            w->gate[1][i] = here ? gates[right * row + i] : w->gate[1][i];
            for (int axis = 0; axis < 2; axis++) {
                w->left[axis][i] = here ? knot[axis][1][i] : w->left[axis][i];
                for (int side = 0; side < 3; side++)
                    w->size[axis][side][i] = here ? knot[axis][side + 1][i] - knot[axis][side][i] : w->size[axis][side][i];
            }
        }
    }
    EACH {
        REAL width = w->size[0][1][i], height = w->size[1][1][i];
        for (int side = 0; side < 2; side++) {
            REAL steep = w->size[1][2 * side][i] * width, flat = w->size[0][2 * side][i] * height;
            REAL gate = 1 / (1 + EXP(-w->gate[side][i]));
            REAL tilt = (1 + (TILT - 1) * gate) / (TILT - (TILT - 1) * gate);
            REAL mean = 2 * steep / (steep + flat);
            w->gate[side][i] = gate;
            w->mean[side][i] = mean;
            w->ends[side][i] = w->k[i] == side * (bins - 1) ? width / height : tilt * mean;
        }
        REAL a = w->ends[0][i], b = w->ends[1][i];
        if (inverse) {
            REAL s = (w->y[i] - w->left[1][i]) / height, u = a * (1 - s) - b * s;
            REAL r = ABS(u) + SQRT(u * u + 4 * s * (1 - s));
            w->t[i] = u >= 0 ? 2 * s / (2 * s + r) : r / (2 * (1 - s) + r);
        } else
            w->t[i] = (w->y[i] - w->left[0][i]) / width;
    }
}

static inline void NAME(evaluate)(const NAME(Tile) *restrict w, const REAL *restrict y, REAL *restrict out, REAL *restrict slope, int n,
                                  REAL bound, int inverse) {
    EACH {
        REAL t = w->t[i], q = t * (1 - t), a = w->ends[0][i], b = w->ends[1][i];
        REAL width = w->size[0][1][i], height = w->size[1][1][i];
        REAL bottom = 1 + (a + b - 2) * q, top = b * t * t + 2 * q + a * (1 - t) * (1 - t);
        REAL value = inverse ? w->left[0][i] + width * t : w->left[1][i] + height * ((t * t + a * q) / bottom);
        REAL log_slope = LOG(top * height / (bottom * bottom * width));
        value = value > bound ? bound : value < -bound ? -bound : value;
        out[i] = w->inside[i] != 0 ? value : y[i];
        slope[i] = w->inside[i] != 0 ? (inverse ? -log_slope : log_slope) : 0;
    }
}

/* The gradients of y and h, from those of value and log derivative. */
static inline void NAME(differentiate)(const NAME(Tile) *restrict w, const REAL *restrict g_out, const REAL *restrict g_slope,
                                       REAL *restrict g_y, REAL *restrict g_h, ptrdiff_t row, int n, int bins, REAL bound, REAL floor,
                                       int inverse) {
    const REAL least = 2 * bound * floor, free = 2 * bound * (1 - bins * floor);
    REAL g_knot[2][4][TILE], g_gate[2][TILE], mean[2][TILE];
    EACH {
        REAL t = w->t[i], s = 1 - t, q = t * s, a = w->ends[0][i], b = w->ends[1][i];
        REAL width = w->size[0][1][i], height = w->size[1][1][i];
        REAL go = w->inside[i] != 0 ? g_out[i] : 0, gs = w->inside[i] != 0 ? g_slope[i] : 0;
        REAL bottom = 1 + (a + b - 2) * q, top = b * t * t + 2 * q + a * s * s, value = (t * t + a * q) / bottom;
        /* derivatives of the piece f and of its log derivative l */
        REAL f_t = top / (bottom * bottom), f_a = q * (1 - value) / bottom, f_b = -q * value / bottom;
        REAL l_t = 2 * (b * t + (s - t) - a * s) / top - 2 * (a + b - 2) * (s - t) / bottom;
        REAL l_a = s * s / top - 2 * q / bottom, l_b = t * t / top - 2 * q / bottom;
        REAL along, g_f, to_x, to_z; /* the last two: of the bin's place on either axis */
        if (inverse) {
            g_f = -(go * width - gs * l_t) / f_t;
            along = -g_f / height;
            gs = -gs;
            to_x = go, to_z = -along;
        } else {
            g_f = go * height;
            along = (g_f * f_t + gs * l_t) / width;
            to_x = -along, to_z = go;
        }
        g_y[i] = w->inside[i] != 0 ? along : g_out[i];
        REAL g_ends[2] = {(g_f * f_a + gs * l_a) * a, (g_f * f_b + gs * l_b) * b}, both = 0; /* of their logarithms */
        REAL g_size[2][2];
        for (int side = 0; side < 2; side++) {
            REAL gate = w->gate[side][i];
            int edge = w->k[i] == side * (bins - 1);
            REAL g_mean = g_ends[side] * (1 - (REAL)0.5 * w->mean[side][i]);
            both += edge ? g_ends[side] : g_mean;
            g_mean = edge ? 0 : g_mean;
            g_size[0][side] = -g_mean / w->size[0][2 * side][i];
            g_size[1][side] = g_mean / w->size[1][2 * side][i];
            REAL g_tilt = g_ends[side] * (TILT * TILT - 1) * gate * (1 - gate) / ((1 + (TILT - 1) * gate) * (TILT - (TILT - 1) * gate));
            g_gate[side][i] = edge ? 0 : g_tilt;
        }
        /* By knots, not by sizes: what moves a bin and what stretches it cancel at its far end. */
        REAL g_width = (both - gs) / width, g_height = (gs - both) / height;
        g_knot[0][1][i] = to_x * s - g_width + g_size[0][0], g_knot[0][2][i] = to_x * t + g_width - g_size[0][1];
        g_knot[1][1][i] = to_z * (1 - value) - g_height + g_size[1][0], g_knot[1][2][i] = to_z * value + g_height - g_size[1][1];
        for (int axis = 0; axis < 2; axis++) g_knot[axis][0][i] = -g_size[axis][0], g_knot[axis][3][i] = g_size[axis][1];
    }
    /* Back through sums and softmax: a size moves all the knots after it, but for the last. */
    for (int axis = 0; axis < 2; axis++) {
        EACH {
            REAL knot = w->left[axis][i] + bound - w->size[axis][0][i], sum = 0;
            for (int place = 0; place < 4; place++) {
                REAL number = w->k[i] + place - 1;
                REAL g = number < bins ? g_knot[axis][place][i] : 0;
                g_knot[axis][place][i] = g;
                sum += g * (knot - least * number);
                knot += place < 3 ? w->size[axis][place][i] : 0;
            }
            mean[axis][i] = sum / free;
            for (int place = 2; place >= 0; place--) g_knot[axis][place][i] += g_knot[axis][place + 1][i]; /* of it and those after it */
        }
        for (int j = 0; j < bins; j++) EACH {
            REAL place = j - w->k[i];
            REAL g = place < 2 ? g_knot[axis][3][i] : 0;
            g = place < 1 ? g_knot[axis][2][i] : g;
            g = place < 0 ? g_knot[axis][1][i] : g;
            g = place < -1 ? g_knot[axis][0][i] : g;
            g_h[(axis * bins + j) * row + i] = (g - mean[axis][i]) * w->e[axis][j][i] * w->rate[axis][i];
        }
    }
    for (int j = 0; j < bins - 1; j++) EACH {
        REAL place = j - w->k[i];
        g_h[(2 * bins + j) * row + i] = (place == -1 ? g_gate[0][i] : 0) + (place == 0 ? g_gate[1][i] : 0);
    }
}
