/* Layers of vectors one after the other, and the gradient of all from data to latent.

   Linear maps and the masked layer behind them go together over one tile of the batch after the other; then come those that follow, so
   that the weights of one layer stay in the cache. The gradient takes them from the last to the first. */

#ifndef REAL
#include <stdlib.h>
#include <string.h>

#include "elementary.h"
#include "structures.h"

#define SOURCE "run.c"
#include "twice.h"
#else

#include "parts.h"
#include "products.h"

/* The layer behind the last one that goes together with this one. */
static int NAME(together)(const Layer *m, int first, int count) {
    while (first < count && !m[first].width) first++;
    return first < count ? first + 1 : count;
}

static ptrdiff_t NAME(jobs_of)(const Layer *m, ptrdiff_t most) {
    const ptrdiff_t tiles = (m->batch + COLUMNS - 1) / COLUMNS;
    return tiles < 1 ? 1 : tiles < most ? tiles : most;
}

/* 0, or 1 where there is not enough memory. */
int NAME(run)(const Layer *m, int count) {
    const ptrdiff_t tiles = (m->batch + COLUMNS - 1) / COLUMNS, jobs = NAME(jobs_of)(m, m->threads);
    ptrdiff_t scratch = 0, shared = 0;
    for (int l = 0; l < count; l++) {
        scratch = MAX(scratch, m[l].width ? NAME(masked_scratch)(m + l) : NAME(linear_scratch)(m + l));
        shared = MAX(shared, m[l].width && NAME(masked_prepares)(m + l) ? NAME(masked_shared)(m + l) : 0);
    }
    REAL *memory = aligned_alloc(64, (jobs * scratch + shared + COLUMNS) * sizeof(REAL));
    if (!memory) return 1;
    for (int first = 0, end; first < count; first = end) {
        REAL *last = NULL;
        end = NAME(together)(m, first, count);
        if (m[end - 1].width && NAME(masked_prepares)(m + end - 1)) NAME(masked_prepare)(m + end - 1, last = memory + jobs * scratch);
#pragma omp parallel for schedule(static) num_threads(jobs) if (jobs > 1)
        for (ptrdiff_t job = 0; job < jobs; job++)
            for (ptrdiff_t tile = job * tiles / jobs; tile < (job + 1) * tiles / jobs; tile++)
                for (int l = first; l < end; l++)
                    if (m[l].width)
                        NAME(masked_tile)(m + l, last, tile * COLUMNS, memory + job * scratch);
                    else
                        NAME(linear_tile)(m + l, tile * COLUMNS, memory + job * scratch);
    }
    free(memory);
    return 0;
}

/* The same for the gradient. */
int NAME(run_gradient)(const Layer *m, int count) {
    const ptrdiff_t tiles = (m->batch + COLUMNS - 1) / COLUMNS;
    ptrdiff_t scratch = 0, stride = 0, shared = 0, jobs = m->threads;
    for (int first = 0, end; first < count; first = end) {
        ptrdiff_t sums = 0;
        end = NAME(together)(m, first, count);
        for (int l = first; l < end; l++) {
            scratch = MAX(scratch, m[l].width ? NAME(masked_gradient_scratch)(m + l) : NAME(linear_scratch)(m + l));
            sums += m[l].width ? NAME(masked_sums)(m + l) : NAME(linear_sums)(m + l);
            shared = MAX(shared, m[l].width ? NAME(masked_shared)(m + l) : 0);
            jobs = m[l].copies < jobs ? m[l].copies : jobs;
        }
        stride = MAX(stride, sums);
    }
    jobs = NAME(jobs_of)(m, jobs);
    REAL *memory = aligned_alloc(64, (jobs * (stride + scratch) + shared + COLUMNS) * sizeof(REAL));
    if (!memory) return 1;
    REAL *sums = memory + jobs * scratch, *last = sums + jobs * stride;
    for (int end = count, first; end > 0; end = first) {
        for (first = end - 1; first > 0 && !m[first - 1].width; first--);
        if (m[end - 1].width) NAME(masked_prepare)(m + end - 1, last);
#pragma omp parallel for schedule(static) num_threads(jobs) if (jobs > 1)
        for (ptrdiff_t job = 0; job < jobs; job++) {
            memset(sums + job * stride, 0, stride * sizeof(REAL));
            for (ptrdiff_t tile = job * tiles / jobs; tile < (job + 1) * tiles / jobs; tile++) {
                REAL *own = sums + job * stride;
                for (int l = end - 1; l >= first; l--)
                    if (m[l].width) {
                        NAME(masked_gradient_tile)(m + l, last, tile * COLUMNS, memory + job * scratch, own);
                        own += NAME(masked_sums)(m + l);
                    } else {
                        NAME(linear_gradient_tile)(m + l, tile * COLUMNS, memory + job * scratch, own);
                        own += NAME(linear_sums)(m + l);
                    }
            }
        }
        const REAL *own = sums;
        for (int l = end - 1; l >= first; l--)
            if (m[l].width) {
                NAME(masked_gather)(m + l, own, stride, jobs);
                own += NAME(masked_sums)(m + l);
            } else {
                NAME(linear_gather)(m + l, own, stride, jobs);
                own += NAME(linear_sums)(m + l);
            }
    }
    free(memory);
    return 0;
}
#endif
