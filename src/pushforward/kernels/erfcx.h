/* tanh, and exp(x^2) erfc(x) for the normal distribution, without branches or calls; included by mixture.c alone.
   TANH and ERFCX are those of REAL, which is float or double. */

#pragma once
#include "elementary.h"

/* tanh(|x|) = -e / (2 + e) with e = exp(-2 |x|) - 1, taken so that small x keep their digits. */
static inline float tanh_float(float x) {
    float y = -2 * fabsf(x);
    y = y < -40 ? -40 : y;
    float n = floorf(y * 1.44269504f + 0.5f), r = (y - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = r * (1 + r * (0.5f + r * (1 / 6.f + r * (1 / 24.f + r * (1 / 120.f + r * (1 / 720.f + r * (1 / 5040.f)))))));
    uint32_t bits = (uint32_t)((int32_t)(x == x ? n : 0) + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    float e = scale * p + (scale - 1);
    return copysignf(e / (2 + e), x);
}

static inline double tanh_double(double x) {
    double y = -2 * fabs(x);
    y = y < -80 ? -80 : y;
    double n = floor(y * 1.4426950408889634 + 0.5), r = (y - n * 6.93145751953125e-1) - n * 1.42860682030941723212e-6;
    double p = 1 / 479001600. + r * (1 / 6227020800.);
    p = 1 / 5040. + r * (1 / 40320. + r * (1 / 362880. + r * (1 / 3628800. + r * (1 / 39916800. + r * p))));
    p = r * (1 + r * (0.5 + r * (1 / 6. + r * (1 / 24. + r * (1 / 120. + r * (1 / 720. + r * p))))));
    uint64_t bits = (uint64_t)((int64_t)(int32_t)(x == x ? n : 0) + 1023) << 52;
    double scale;
    memcpy(&scale, &bits, sizeof scale);
    double e = scale * p + (scale - 1);
    return copysign(e / (2 + e), x);
}

/* For x >= 0, to a few ulp however large: (1 + 2 x) erfcx(x) is a smooth function of q = (x - 3) / (x + 3) on [-1, 1], and these are
   its Chebyshev series cut where they drop below rounding, written in powers of q. */
static inline float erfcx_float(float x) {
    float q = (x - 3) / (x + 3);
    float p = -9.25451669e-05f + q * 7.73102422e-05f;
    p = -0.0237635764f + q * (0.00249911687f + q * (0.00187507912f + q * (-0.000726453679f + q * p)));
    p = -0.0475621569f + q * (0.129644114f + q * (-0.119275275f + q * (0.0683165678f + q * p)));
    p = 1.25300806f + q * (-0.135621069f + q * p);
    return p / (1 + 2 * x);
}

static inline double erfcx_double(double x) {
    double q = (x - 3) / (x + 3);
    double p = -7.6419628925899751e-09 - q * 3.1813541434969274e-09;
    p = -5.9639836255227407e-07 + q * (-1.2054142286489379e-07 + q * (8.7658814117305584e-08 + q * (2.7843881265502222e-08 + q * p)));
    p = -2.0089997833284275e-05 + q * (-7.1878838344042664e-07 + q * (3.4542947702777379e-06 + q * (3.3669790806407595e-07 + q * p)));
    p = -0.00077983127972901581 + q * (-0.00010515831297813128 + q * (0.00012509531076254534 + q * (4.9441243422236601e-06 + q * p)));
    p = 0.068308027356383971 + q * (-0.023770514891530075 + q * (0.0025293916672051724 + q * (0.0018886900977441495 + q * p)));
    p = -0.13562110612457576 + q * (-0.047562294353420381 + q * (0.12964515870228346 + q * (-0.11927366341676002 + q * p)));
    p = 1.2530080582697296 + q * p;
    return p / (1 + 2 * x);
}

#define TANH(x) _Generic((REAL)0, float: tanh_float, double: tanh_double)(x)
#define ERFCX(x) _Generic((REAL)0, float: erfcx_float, double: erfcx_double)(x)
