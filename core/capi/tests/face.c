/* libpergrad from C99 and from C++: every kernel against plain loops, to the bit; every error, and that it
 * left everything as it was; and a small training run. Prints what it did, the same on every machine, and
 * ends with a status that is not 0 at the first check that fails, which it names. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pergrad.h>

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            printf("FAILED: %s:%d: %s\n", __FILE__, __LINE__, #condition);            \
            exit(1);                                                                  \
        }                                                                             \
    } while (0)

/* A call that must succeed; if it does not, tells all that there is to know. */
#define DONE(call) done(call, __FILE__, __LINE__)

static pergrad_error_info info;

static void done(pergrad_error code, const char *file, int line) {
    if (code != PERGRAD_OK) {
        printf("FAILED: %s:%d: %s: `%s` got %lu need %lu value %g index %lu, needed: %s\n", file, line,
               pergrad_error_message(code), info.arg, (unsigned long)info.got, (unsigned long)info.need,
               info.value, (unsigned long)info.index, info.needed);
        exit(1);
    }
}

/* A call that must be refused, and name that argument. */
#define REFUSED(call, expected, name) refused(call, expected, name, __FILE__, __LINE__)

static void refused(pergrad_error code, pergrad_error expected, const char *name, const char *file,
                    int line) {
    if (code != expected || strcmp(info.arg, name) != 0) {
        printf("FAILED: %s:%d: got \"%s\" of `%s`, expected \"%s\" of `%s`\n", file, line,
               pergrad_error_message(code), info.arg, pergrad_error_message(expected), name);
        exit(1);
    }
}

/* Pseudo-random bits, the same everywhere. */
static uint32_t lcg = 1;

static uint32_t next(void) {
    lcg = lcg * 1664525u + 1013904223u;
    return lcg >> 8;
}

/* FNV-1a of bytes. (All these machines store the low byte first.) */
static uint32_t digest(const void *data, size_t bytes) {
    const unsigned char *byte = (const unsigned char *)data;
    uint32_t hash = 2166136261u;
    size_t k;
    for (k = 0; k < bytes; k++) {
        hash = (hash ^ byte[k]) * 16777619u;
    }
    return hash;
}

/* The instruction sets, whatever is here. */
static const pergrad_isa ISAS[] = {PERGRAD_ISA_BEST, PERGRAD_ISA_PORTABLE, PERGRAD_ISA_AVX2,
                                   PERGRAD_ISA_AVX512};

/* Extents that are no multiple of any vector. */
enum { B = 5, T = 2, J = 3, I = 37, N = J * I };

/* Everything that is there for both types: once in float ... */
#define REAL float
#define OF(name) name##_f32
#define FMA fmaf
#define SIGNIFICANT 24
#include "face_both.h"
#undef REAL
#undef OF
#undef FMA
#undef SIGNIFICANT

/* ... and once in double, on values so short that nothing is ever rounded: the fma of newlib rounds
 * twice. */
#define REAL double
#define OF(name) name##_f64
#define FMA fma
#define SIGNIFICANT 8
#include "face_both.h"

static void instruction_sets(void) {
    const pergrad_isa best = pergrad_isa_detect();
    CHECK(best != PERGRAD_ISA_BEST && pergrad_isa_available(best));
    CHECK(pergrad_isa_available(PERGRAD_ISA_BEST));
    CHECK(pergrad_isa_available(PERGRAD_ISA_PORTABLE));
    CHECK(!pergrad_isa_available((pergrad_isa)4) && !pergrad_isa_available((pergrad_isa)-1));
    CHECK(strcmp(pergrad_isa_name(PERGRAD_ISA_PORTABLE), "portable") == 0);
    CHECK(strcmp(pergrad_isa_name(PERGRAD_ISA_AVX512), "avx512") == 0);
    CHECK(strcmp(pergrad_isa_name((pergrad_isa)4), "unknown") == 0);
    CHECK(strlen(pergrad_version()) >= strlen("0.0.0"));
}

static void messages(void) {
    int code, other;
    for (code = PERGRAD_OK; code <= PERGRAD_ERROR_SELF_TEST + 1; code++) {
        const char *message = pergrad_error_message((pergrad_error)code);
        CHECK(strlen(message) > 0);
        for (other = PERGRAD_OK; other < code; other++) {
            CHECK(strcmp(message, pergrad_error_message((pergrad_error)other)) != 0);
        }
    }
    CHECK(strcmp(pergrad_error_message((pergrad_error)-1),
                 pergrad_error_message((pergrad_error)1000)) == 0);
}

/* Presets, and what configurations refuse. */
static void configurations(void) {
    pergrad_adam_config adam;
    pergrad_rmsprop_config rmsprop;
    pergrad_momentum_config momentum;
    pergrad_adam_coeffs_f32 single;
    pergrad_adam_coeffs_f64 both;
    pergrad_adam_coeffs_f32 before;
    pergrad_window window;
    double length = 0;

    DONE(pergrad_adam_torch(1e-3, &adam, &info));
    CHECK(adam.lr == 1e-3 && adam.window.by == PERGRAD_WINDOW_BETA && adam.window.value == 0.9);
    CHECK(adam.window_sq.value == 0.999 && adam.epsilon.outside == 1e-8 && !adam.epsilon.hat);
    CHECK(adam.warm_up == PERGRAD_WARM_UP_DEBIAS && adam.at_batch_size == 0);
    DONE(pergrad_adam_keras(1e-3, &adam, &info));
    CHECK(adam.epsilon.outside == 1e-7 && adam.epsilon.hat);
    DONE(pergrad_rmsprop_keras(1e-3, &rmsprop, &info));
    CHECK(rmsprop.epsilon.inside == 1e-7 && rmsprop.lr_placement == PERGRAD_LR_PLACEMENT_INSIDE);
    DONE(pergrad_momentum_torch(0.1, 0.9, &momentum, &info));
    CHECK(momentum.form == PERGRAD_MOMENTUM_FORM_SUM && momentum.window.value == 0.9);
    DONE(pergrad_momentum_to_average_form(&momentum, &info));
    CHECK(momentum.form == PERGRAD_MOMENTUM_FORM_AVERAGE && fabs(momentum.lr - 1.0) < 1e-12);
    DONE(pergrad_momentum_to_sum_form(&momentum, &info));
    CHECK(momentum.form == PERGRAD_MOMENTUM_FORM_SUM && fabs(momentum.lr - 0.1) < 1e-13);

    window.by = PERGRAD_WINDOW_LENGTH;
    window.value = 2048;
    DONE(pergrad_window_length(window, 32, &length, &info));
    CHECK(length == 64);
    window.by = PERGRAD_WINDOW_BETA;
    window.value = 0.875;
    DONE(pergrad_window_length(window, 0, &length, &info));
    CHECK(length == 8);
    window.value = 1;
    REFUSED(pergrad_window_length(window, 0, &length, &info), PERGRAD_ERROR_HYPER, "window");
    CHECK(info.value == 1 && strcmp(info.needed, "at least 0 and less than 1") == 0 && length == 8);
    window.by = (pergrad_window_by)7;
    REFUSED(pergrad_window_length(window, 0, &length, &info), PERGRAD_ERROR_ENUM, "window");
    CHECK(info.got == 7);

    /* Windows by themselves, by each of their names. */
    REFUSED(pergrad_adam_new(1e-3, 0.5, 10, &adam, &info), PERGRAD_ERROR_HYPER, "window");
    REFUSED(pergrad_adam_new(1e-3, 10, INFINITY, &adam, &info), PERGRAD_ERROR_HYPER, "window_sq");
    CHECK(adam.epsilon.outside == 1e-7); /* as it was */
    REFUSED(pergrad_momentum_torch(0.1, 1.5, &momentum, &info), PERGRAD_ERROR_HYPER, "momentum");
    REFUSED(pergrad_rmsprop_torch(0.1, NULL, &info), PERGRAD_ERROR_NULL, "config");

    /* Coefficients. */
    memset(&single, 0x5a, sizeof single);
    before = single;
    DONE(pergrad_adam_new(1e-3, 10, 100, &adam, &info));
    REFUSED(pergrad_adam_step_coeffs_f32(&adam, 0, &single, &info), PERGRAD_ERROR_HYPER, "t");
    adam.lr = -1;
    REFUSED(pergrad_adam_step_coeffs_f32(&adam, 1, &single, &info), PERGRAD_ERROR_HYPER, "lr");
    CHECK(info.value == -1 && strcmp(info.needed, "at least 0") == 0);
    adam.lr = 1e-3;
    adam.epsilon.outside = 1e-60;
    REFUSED(pergrad_adam_step_coeffs_f32(&adam, 1, &single, &info), PERGRAD_ERROR_HYPER, "epsilon");
    DONE(pergrad_adam_step_coeffs_f64(&adam, 1, &both, &info));
    adam.epsilon.hat = true;
    adam.epsilon.outside = 1e-7;
    adam.amsgrad = PERGRAD_AMSGRAD_CORRECTED;
    REFUSED(pergrad_adam_step_coeffs_f32(&adam, 1, &single, &info), PERGRAD_ERROR_CONFLICT, "");
    CHECK(strlen(info.needed) > 0);
    adam.amsgrad = PERGRAD_AMSGRAD_OFF;
    adam.epsilon.inside = 1e-7;
    REFUSED(pergrad_adam_step_coeffs_f32(&adam, 1, &single, &info), PERGRAD_ERROR_CONFLICT, "");
    adam.epsilon.inside = 0;
    memset(&adam.maximize, 2, 1);
    REFUSED(pergrad_adam_step_coeffs_f32(&adam, 1, &single, &info), PERGRAD_ERROR_ENUM, "maximize");
    CHECK(info.got == 2);
    CHECK(memcmp(&single, &before, sizeof single) == 0);
    memset(&adam.maximize, 0, 1);
    DONE(pergrad_adam_step_coeffs_f32(&adam, 1, &single, &info));
}

/* A layer of 4 outputs and 8 inputs learns a linear map, a batch of 16 at a time; prints the loss and the
 * bits that came out. */
static void training(void) {
    enum { BATCH = 16, OUT = 4, IN = 8, STEPS = 300 };
    static float target[OUT * IN], x[BATCH * IN], y[BATCH * OUT], dy[BATCH * OUT];
    static float weight[OUT * IN], exp_avg[OUT * IN], exp_avg_sq[OUT * IN];
    static float bias[OUT], bias_avg[OUT], bias_avg_sq[OUT];
    pergrad_layer_step_f32 layer;
    pergrad_adam_state_f32 state, bias_state;
    pergrad_adam_config config;
    float loss = 0, first = 0;
    int t, k;

    memset(&layer, 0, sizeof layer);
    layer.batch.dims.batch = BATCH;
    layer.batch.dims.steps = 1;
    layer.batch.dims.outputs = OUT;
    layer.batch.dims.inputs = IN;
    layer.batch.x = x;
    layer.batch.x_len = BATCH * IN;
    layer.batch.dy = dy;
    layer.batch.dy_len = BATCH * OUT;
    layer.scale = 1.0 / BATCH;
    memset(&state, 0, sizeof state);
    state.exp_avg = exp_avg;
    state.exp_avg_sq = exp_avg_sq;
    state.exp_avg_len = state.exp_avg_sq_len = OUT * IN;
    memset(&bias_state, 0, sizeof bias_state);
    bias_state.exp_avg = bias_avg;
    bias_state.exp_avg_sq = bias_avg_sq;
    bias_state.exp_avg_len = bias_state.exp_avg_sq_len = OUT;

    lcg = 7;
    fill_f32(target, OUT * IN);
    DONE(pergrad_adam_new(1e-3, 160, 1600, &config, &info));
    config.at_batch_size = BATCH;
    for (t = 1; t <= STEPS; t++) {
        pergrad_adam_coeffs_f32 coeffs;
        fill_f32(x, BATCH * IN);
        DONE(pergrad_forward_f32(PERGRAD_ISA_BEST, &layer.batch.dims, x, BATCH * IN, target, OUT * IN,
                                 NULL, 0, PERGRAD_START_FRESH, y, BATCH * OUT, &info));
        for (k = 0; k < BATCH * OUT; k++) {
            dy[k] = -0.5f - y[k]; /* of the target, minus half */
        }
        DONE(pergrad_forward_f32(PERGRAD_ISA_BEST, &layer.batch.dims, x, BATCH * IN, weight, OUT * IN,
                                 bias, OUT, PERGRAD_START_RESUME, dy, BATCH * OUT, &info));
        loss = 0;
        for (k = 0; k < BATCH * OUT; k++) {
            loss += dy[k] * dy[k] / (2 * BATCH);
        }
        if (t == 1) {
            first = loss;
        }
        DONE(pergrad_adam_step_coeffs_f32(&config, (uint64_t)t, &coeffs, &info));
        DONE(pergrad_step_adam_f32(PERGRAD_ISA_BEST, &layer, PERGRAD_PART_WEIGHT, &coeffs, weight,
                                   OUT * IN, &state, NULL, 0, &info));
        DONE(pergrad_step_adam_f32(PERGRAD_ISA_BEST, &layer, PERGRAD_PART_BIAS, &coeffs, bias, OUT,
                                   &bias_state, NULL, 0, &info));
    }
    CHECK(loss < first / 1000);
    printf("training: loss %.3g, then %.3g; weights %08lx, bias %08lx\n", (double)first, (double)loss,
           (unsigned long)digest(weight, sizeof weight), (unsigned long)digest(bias, sizeof bias));
}

int main(void) {
    instruction_sets();
    messages();
    configurations();
    kernels_f32();
    kernels_f64();
    training();
    printf("done\n");
    return 0;
}
