/* exp and log without branches or calls, so that compilers turn loops over them into vector code; both within 2 ulp.
   EXP, LOG, SQRT, ABS are those of REAL, which is float or double. */

#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* exp(x) = 2^n exp(r) with |r| <= ln(2) / 2, by the power series; finite for large x, 0 to rounding for small. */
static inline float exp_float(float x) {
    x = x > 88 ? 88 : x < -87 ? -87 : x;
    float n = floorf(x * 1.44269504f + 0.5f), r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1 + r * (1 + r * (0.5f + r * (1 / 6.f + r * (1 / 24.f + r * (1 / 120.f + r * (1 / 720.f + r * (1 / 5040.f)))))));
    uint32_t bits = (uint32_t)((int32_t)(x == x ? n : 0) + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

static inline double exp_double(double x) {
    x = x > 709 ? 709 : x < -708 ? -708 : x;
    double n = floor(x * 1.4426950408889634 + 0.5), r = (x - n * 6.93145751953125e-1) - n * 1.42860682030941723212e-6;
    double p = 1 / 479001600. + r * (1 / 6227020800.);
    p = 1 / 5040. + r * (1 / 40320. + r * (1 / 362880. + r * (1 / 3628800. + r * (1 / 39916800. + r * p))));
    p = 1 + r * (1 + r * (0.5 + r * (1 / 6. + r * (1 / 24. + r * (1 / 120. + r * (1 / 720. + r * p))))));
    uint64_t bits = (uint64_t)((int64_t)(int32_t)(x == x ? n : 0) + 1023) << 52;
    double scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

/* log(x) = n ln(2) + 2 artanh(s) with s = (m - 1) / (m + 1), m in [sqrt(1/2), sqrt(2)); x must be positive and normal, or NaN. */
static inline float log_float(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof x);
    int32_t n = (int32_t)(bits - 0x3f3504f3u) >> 23;
    bits -= (uint32_t)n << 23;
    float m;
    memcpy(&m, &bits, sizeof m);
    float s = (m - 1) / (m + 1), q = s * s;
    float p = 2 * s * (1 + q * (1 / 3.f + q * (1 / 5.f + q * (1 / 7.f + q * (1 / 9.f)))));
    return x == x ? (float)n * 0.693147182f + p : x;
}

static inline double log_double(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof x);
    int64_t n = (int64_t)(bits - 0x3fe6a09e667f3bcdu) >> 52;
    bits -= (uint64_t)n << 52;
    double m;
    memcpy(&m, &bits, sizeof m);
    double s = (m - 1) / (m + 1), q = s * s;
    double p = 1 / 13. + q * (1 / 15. + q * (1 / 17. + q * (1 / 19. + q * (1 / 21. + q * (1 / 23.)))));
    p = 2 * s * (1 + q * (1 / 3. + q * (1 / 5. + q * (1 / 7. + q * (1 / 9. + q * (1 / 11. + q * p))))));
    return x == x ? (double)n * 0.69314718055994530942 + p : x;
}

#define EXP(x) _Generic((REAL)0, float: exp_float, double: exp_double)(x)
#define LOG(x) _Generic((REAL)0, float: log_float, double: log_double)(x)
#define SQRT(x) _Generic((REAL)0, float: sqrtf, double: sqrt)(x)
#define ABS(x) _Generic((REAL)0, float: fabsf, double: fabs)(x)
