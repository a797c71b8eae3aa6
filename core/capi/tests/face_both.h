/* Included by face.c for each element type: REAL, OF(name) for the name of it, FMA, and how many bits of
 * test values are SIGNIFICANT. */

/* Values in [-1, 1). */
static void OF(fill)(REAL *to, size_t len) {
    size_t k;
    for (k = 0; k < len; k++) {
        const long whole = 1L << (SIGNIFICANT - 1);
        to[k] = (REAL)((long)(next() >> (24 - SIGNIFICANT)) - whole) / (REAL)whole;
    }
}

/* What the kernels read, and what they write. */
static REAL OF(x)[B * T * I], OF(dy)[B * T * J], OF(weights)[B];
static REAL OF(out)[B * N], OF(out_sq)[B * N], OF(expected)[B * N], OF(expected_sq)[B * N];
static REAL OF(scratch)[4 * B * T * I];

static OF(pergrad_batch) OF(batch)(void) {
    OF(pergrad_batch) batch;
    batch.dims.batch = B;
    batch.dims.steps = T;
    batch.dims.outputs = J;
    batch.dims.inputs = I;
    batch.x = OF(x);
    batch.x_len = B * T * I;
    batch.dy = OF(dy);
    batch.dy_len = B * T * J;
    batch.example_weights = OF(weights);
    batch.example_weights_len = B;
    return batch;
}

/* G[b,j,i], the rounded product, then fused; of the bias where i is I. */
static REAL OF(gradient)(size_t b, size_t j, size_t i) {
    REAL g = 0;
    size_t t;
    for (t = 0; t < T; t++) {
        const REAL dy = OF(weights)[b] * OF(dy)[(b * T + t) * J + j];
        if (i == I) {
            g = t == 0 ? dy : g + dy;
        } else {
            const REAL x = OF(x)[(b * T + t) * I + i];
            g = t == 0 ? dy * x : FMA(dy, x, g);
        }
    }
    return g;
}

/* Both sums over b, of J x I weights or (columns = 1) of the bias, times scale. */
static void OF(sums)(size_t columns, REAL scale) {
    size_t b, j, i;
    for (j = 0; j < J; j++) {
        for (i = 0; i < columns; i++) {
            REAL sum = 0, sum_sq = 0;
            for (b = 0; b < B; b++) {
                const REAL g = OF(gradient)(b, j, columns == 1 ? (size_t)I : i);
                sum = sum + g;
                sum_sq = FMA(g, g, sum_sq);
            }
            OF(expected)[j * columns + i] = sum * scale;
            OF(expected_sq)[j * columns + i] = sum_sq * scale;
        }
    }
}

static bool OF(same)(const REAL *a, const REAL *b, size_t len) {
    return memcmp(a, b, len * sizeof(REAL)) == 0;
}

/* Fills both outputs with something that no result is. */
static void OF(soil)(void) {
    size_t k;
    for (k = 0; k < B * N; k++) {
        OF(out)[k] = OF(out_sq)[k] = (REAL)12345;
    }
}

/* Whether both outputs are as they were soiled. */
static bool OF(untouched)(void) {
    size_t k;
    for (k = 0; k < B * N; k++) {
        if (OF(out)[k] != (REAL)12345 || OF(out_sq)[k] != (REAL)12345) {
            return false;
        }
    }
    return true;
}

/* The statistics. */
static void OF(statistics)(pergrad_isa isa) {
    const OF(pergrad_batch) batch = OF(batch)();
    OF(pergrad_batch) part = batch;
    REAL sums_of_grad[N], norms[B];
    size_t b, j, i, k;

    /* In one sweep, with and without scratch. */
    OF(sums)(I, (REAL)0.25);
    OF(soil)();
    DONE(OF(pergrad_moments)(isa, &batch, PERGRAD_START_FRESH, 0.25, OF(out), N, OF(out_sq), N, NULL, 0,
                             &info));
    CHECK(OF(same)(OF(out), OF(expected), N) && OF(same)(OF(out_sq), OF(expected_sq), N));
    CHECK(OF(out)[N] == (REAL)12345 && OF(out_sq)[N] == (REAL)12345);
    CHECK(pergrad_scratch_len(batch.dims) <= sizeof OF(scratch) / sizeof(REAL));
    OF(soil)();
    DONE(OF(pergrad_moments)(isa, &batch, PERGRAD_START_FRESH, 0.25, OF(out), N, OF(out_sq), N,
                             OF(scratch), sizeof OF(scratch) / sizeof(REAL), NULL));
    CHECK(OF(same)(OF(out), OF(expected), N) && OF(same)(OF(out_sq), OF(expected_sq), N));

    /* In two micro-batches, of two examples and of the others. */
    part.dims.batch = 2;
    part.x_len = 2 * T * I;
    part.dy_len = 2 * T * J;
    part.example_weights_len = 2;
    DONE(OF(pergrad_moments)(isa, &part, PERGRAD_START_FRESH, 1, OF(out), N, OF(out_sq), N, NULL, 0,
                             &info));
    part.dims.batch = B - 2;
    part.x = batch.x + 2 * T * I;
    part.x_len = (B - 2) * T * I;
    part.dy = batch.dy + 2 * T * J;
    part.dy_len = (B - 2) * T * J;
    part.example_weights = batch.example_weights + 2;
    part.example_weights_len = B - 2;
    DONE(OF(pergrad_moments)(isa, &part, PERGRAD_START_RESUME, 0.25, OF(out), N, OF(out_sq), N, NULL, 0,
                             &info));
    CHECK(OF(same)(OF(out), OF(expected), N) && OF(same)(OF(out_sq), OF(expected_sq), N));

    /* Materialised, and reduced. */
    DONE(OF(pergrad_per_example_grad)(isa, &batch, OF(out), B * N, &info));
    for (b = 0; b < B; b++) {
        for (j = 0; j < J; j++) {
            for (i = 0; i < I; i++) {
                CHECK(OF(out)[(b * J + j) * I + i] == OF(gradient)(b, j, i));
            }
        }
    }
    DONE(OF(pergrad_reduce)(isa, OF(out), B * N, B, PERGRAD_START_FRESH, 0.25, sums_of_grad, N,
                            OF(out_sq), N, &info));
    CHECK(OF(same)(sums_of_grad, OF(expected), N) && OF(same)(OF(out_sq), OF(expected_sq), N));

    /* Norms: of values that are exact, the sum of squares in any order. */
    DONE(OF(pergrad_sq_norms)(isa, &batch, PERGRAD_START_FRESH, norms, B, &info));
    for (b = 0; b < B; b++) {
        double norm = 0;
        for (k = 0; k < N; k++) {
            norm += (double)OF(out)[b * N + k] * (double)OF(out)[b * N + k];
        }
        CHECK(fabs((double)norms[b] - norm) <= 1e-5 * norm && norm > 0);
    }
    DONE(OF(pergrad_bias_sq_norms)(isa, &batch, PERGRAD_START_RESUME, norms, B, &info));
    DONE(OF(pergrad_bias_sq_norms)(isa, &batch, PERGRAD_START_FRESH, sums_of_grad, B, &info));
    for (b = 0; b < B; b++) {
        double norm = 0;
        for (j = 0; j < J; j++) {
            norm += (double)OF(gradient)(b, j, I) * (double)OF(gradient)(b, j, I);
        }
        CHECK(fabs((double)sums_of_grad[b] - norm) <= 1e-5 * norm && norms[b] > sums_of_grad[b]);
    }

    /* The matrix product: fused over b and t. */
    for (j = 0; j < J; j++) {
        for (i = 0; i < I; i++) {
            REAL sum = 0;
            for (k = 0; k < B * T; k++) {
                sum = FMA(OF(weights)[k / T] * OF(dy)[k * J + j], OF(x)[k * I + i], sum);
            }
            OF(expected)[j * I + i] = sum * (REAL)0.25;
        }
    }
    OF(soil)();
    DONE(OF(pergrad_grad)(isa, &batch, PERGRAD_START_FRESH, 0.25, OF(out), N, NULL, 0, &info));
    CHECK(OF(same)(OF(out), OF(expected), N));

    /* The bias, which does not look at x. */
    part = batch;
    part.x = NULL;
    OF(sums)(1, (REAL)0.25);
    OF(soil)();
    DONE(OF(pergrad_bias_moments)(isa, &part, PERGRAD_START_FRESH, 0.25, OF(out), J, OF(out_sq), J,
                                  &info));
    CHECK(OF(same)(OF(out), OF(expected), J) && OF(same)(OF(out_sq), OF(expected_sq), J));
    for (j = 0; j < J; j++) {
        REAL sum = 0;
        for (k = 0; k < B * T; k++) {
            sum = sum + OF(weights)[k / T] * OF(dy)[k * J + j];
        }
        OF(expected)[j] = sum;
    }
    DONE(OF(pergrad_bias_grad)(isa, &part, PERGRAD_START_FRESH, 1, OF(out), J, &info));
    CHECK(OF(same)(OF(out), OF(expected), J));
}

/* Forward, in 16 lanes, and its way back, a fold over j. */
static void OF(linear)(pergrad_isa isa) {
    const OF(pergrad_batch) batch = OF(batch)();
    REAL weight[N], bias[J];
    size_t k, j, i;
    OF(fill)(weight, N);
    OF(fill)(bias, J);
    OF(soil)();
    DONE(OF(pergrad_forward)(isa, &batch.dims, batch.x, batch.x_len, weight, N, bias, J,
                             PERGRAD_START_FRESH, OF(out), B * T * J, &info));
    for (k = 0; k < B * T; k++) {
        for (j = 0; j < J; j++) {
            REAL lanes[16] = {0};
            size_t half;
            for (i = 0; i < I; i++) {
                lanes[i % 16] = FMA(weight[j * I + i], OF(x)[k * I + i], lanes[i % 16]);
            }
            for (half = 8; half > 0; half /= 2) {
                for (i = 0; i < half; i++) {
                    lanes[i] = lanes[i] + lanes[i + half];
                }
            }
            CHECK(OF(out)[k * J + j] == lanes[0] + bias[j]);
        }
    }
    DONE(OF(pergrad_input_grad)(isa, &batch.dims, batch.dy, batch.dy_len, weight, N,
                                PERGRAD_START_FRESH, OF(out), B * T * I, &info));
    for (k = 0; k < B * T; k++) {
        for (i = 0; i < I; i++) {
            REAL sum = 0;
            for (j = 0; j < J; j++) {
                sum = FMA(OF(dy)[k * J + j], weight[j * I + i], sum);
            }
            CHECK(OF(out)[k * I + i] == sum);
        }
    }
}

/* The parameters and state of an optimizer, before and after: [0] by statistics and update, [1] by the
 * layer step. */
static REAL OF(params)[2][N], OF(first)[2][N], OF(second)[2][N], OF(third)[2][N];

static void OF(begin)(void) {
    OF(fill)(OF(params)[0], N);
    memcpy(OF(params)[1], OF(params)[0], sizeof OF(params)[0]);
    memset(OF(first), 0, sizeof OF(first));
    memset(OF(second), 0, sizeof OF(second));
    memset(OF(third), 0, sizeof OF(third));
}

static bool OF(both_same)(size_t n) {
    return OF(same)(OF(params)[0], OF(params)[1], n) && OF(same)(OF(first)[0], OF(first)[1], n) &&
           OF(same)(OF(second)[0], OF(second)[1], n) && OF(same)(OF(third)[0], OF(third)[1], n);
}

/* Layer steps have the bits of statistics followed by the update, for the weight and for the bias. */
static void OF(steps)(pergrad_isa isa, pergrad_part of) {
    const bool weight = of == PERGRAD_PART_WEIGHT;
    const size_t n = weight ? N : J;
    OF(pergrad_layer_step) layer;
    pergrad_momentum_config momentum;
    pergrad_rmsprop_config rmsprop;
    pergrad_adam_config adam;
    OF(pergrad_momentum_coeffs) momentum_coeffs;
    OF(pergrad_rmsprop_coeffs) rmsprop_coeffs;
    OF(pergrad_adam_coeffs) adam_coeffs;
    OF(pergrad_rmsprop_state) rmsprop_state[2];
    OF(pergrad_adam_state) adam_state[2];
    size_t k;
    uint64_t t;

    layer.batch = OF(batch)();
    layer.scale = 1.0 / B;
    layer.second_moment = PERGRAD_SECOND_MOMENT_GRAD_SQ;
    layer.non_finite = PERGRAD_NON_FINITE_REFUSE;
    for (k = 0; k < 2; k++) {
        rmsprop_state[k].exp_avg_sq = OF(first)[k];
        rmsprop_state[k].exp_avg = OF(second)[k];
        rmsprop_state[k].momentum_buffer = OF(third)[k];
        rmsprop_state[k].exp_avg_sq_len = rmsprop_state[k].exp_avg_len = n;
        rmsprop_state[k].momentum_buffer_len = n;
        adam_state[k].exp_avg = OF(first)[k];
        adam_state[k].exp_avg_sq = OF(second)[k];
        adam_state[k].max_exp_avg_sq = OF(third)[k];
        adam_state[k].exp_avg_len = adam_state[k].exp_avg_sq_len = n;
        adam_state[k].max_exp_avg_sq_len = n;
    }

    /* Momentum, on the matrix product. */
    DONE(pergrad_momentum_optax(0.1, 0.9, &momentum, &info));
    OF(begin)();
    for (t = 1; t <= 3; t++) {
        DONE(OF(pergrad_momentum_step_coeffs)(&momentum, t, &momentum_coeffs, &info));
        DONE(weight ? OF(pergrad_grad)(isa, &layer.batch, PERGRAD_START_FRESH, layer.scale, OF(out), n,
                                       NULL, 0, &info)
                    : OF(pergrad_bias_grad)(isa, &layer.batch, PERGRAD_START_FRESH, layer.scale, OF(out),
                                            n, &info));
        DONE(OF(pergrad_update_momentum)(isa, &momentum_coeffs, OF(params)[0], n, OF(out), n,
                                         OF(first)[0], n, PERGRAD_NON_FINITE_PROPAGATE, &info));
        DONE(OF(pergrad_step_momentum)(isa, &layer, of, &momentum_coeffs, OF(params)[1], n, OF(first)[1],
                                       n, NULL, 0, &info));
    }
    CHECK(OF(both_same)(n) && OF(first)[0][0] != 0);

    /* RMSProp with all its state, and Adam with all of its own, on grad_sq. */
    DONE(pergrad_rmsprop_new(1e-3, 160, &rmsprop, &info));
    rmsprop.at_batch_size = B;
    rmsprop.centered = rmsprop.has_momentum = true;
    rmsprop.momentum.by = PERGRAD_WINDOW_LENGTH;
    rmsprop.momentum.value = 40;
    DONE(pergrad_adam_torch(1e-2, &adam, &info));
    adam.amsgrad = PERGRAD_AMSGRAD_UNCORRECTED;
    adam.decay.kind = PERGRAD_DECAY_DECOUPLED;
    adam.decay.value = 0.01;
    DONE(weight ? OF(pergrad_moments)(isa, &layer.batch, PERGRAD_START_FRESH, layer.scale, OF(out), n,
                                      OF(out_sq), n, NULL, 0, &info)
                : OF(pergrad_bias_moments)(isa, &layer.batch, PERGRAD_START_FRESH, layer.scale, OF(out),
                                           n, OF(out_sq), n, &info));
    OF(begin)();
    for (t = 1; t <= 3; t++) {
        DONE(OF(pergrad_rmsprop_step_coeffs)(&rmsprop, t, &rmsprop_coeffs, &info));
        DONE(OF(pergrad_update_rmsprop)(isa, &rmsprop_coeffs, OF(params)[0], n, OF(out), n, OF(out_sq), n,
                                        &rmsprop_state[0], PERGRAD_NON_FINITE_PROPAGATE, &info));
        DONE(OF(pergrad_step_rmsprop)(isa, &layer, of, &rmsprop_coeffs, OF(params)[1], n,
                                      &rmsprop_state[1], NULL, 0, &info));
    }
    CHECK(OF(both_same)(n) && OF(third)[0][0] != 0);
    OF(begin)();
    for (t = 1; t <= 3; t++) {
        DONE(OF(pergrad_adam_step_coeffs)(&adam, t, &adam_coeffs, &info));
        DONE(OF(pergrad_update_adam)(isa, &adam_coeffs, OF(params)[0], n, OF(out), n, OF(out_sq), n,
                                     &adam_state[0], PERGRAD_NON_FINITE_PROPAGATE, &info));
        DONE(OF(pergrad_step_adam)(isa, &layer, of, &adam_coeffs, OF(params)[1], n, &adam_state[1],
                                   OF(scratch), sizeof OF(scratch) / sizeof(REAL), &info));
    }
    CHECK(OF(both_same)(n) && OF(third)[0][0] != 0);
    printf("%s, %s: after three steps of Adam %08lx\n", sizeof(REAL) == 4 ? "f32" : "f64",
           weight ? "weight" : "bias", (unsigned long)digest(OF(params)[0], n * sizeof(REAL)));

    /* What a step refuses, it has not begun: a value that is not finite, in the middle. */
    OF(out)[n / 2] = (REAL)NAN;
    memcpy(OF(params)[1], OF(params)[0], sizeof OF(params)[0]);
    DONE(OF(pergrad_adam_step_coeffs)(&adam, 4, &adam_coeffs, &info));
    REFUSED(OF(pergrad_update_adam)(isa, &adam_coeffs, OF(params)[0], n, OF(out), n, OF(out_sq), n,
                                    &adam_state[0], PERGRAD_NON_FINITE_REFUSE, &info),
            PERGRAD_ERROR_NON_FINITE, "grad");
    CHECK(info.index == n / 2 && OF(both_same)(n));
    OF(dy)[1] = (REAL)INFINITY; /* of output 1 */
    REFUSED(OF(pergrad_step_adam)(isa, &layer, of, &adam_coeffs, OF(params)[0], n, &adam_state[0], NULL,
                                  0, &info),
            PERGRAD_ERROR_NON_FINITE, weight ? "weight" : "bias");
    CHECK(info.index == n / J && OF(both_same)(n));
    OF(dy)[1] = (REAL)0.5;

    /* State that is missing, and state that the configuration has no use for. */
    adam_state[0].max_exp_avg_sq = NULL;
    adam_state[0].max_exp_avg_sq_len = 0;
    REFUSED(OF(pergrad_step_adam)(isa, &layer, of, &adam_coeffs, OF(params)[0], n, &adam_state[0], NULL,
                                  0, &info),
            PERGRAD_ERROR_LENGTH, "max_exp_avg_sq");
    CHECK(info.got == 0 && info.need == n);
    adam_state[0].max_exp_avg_sq_len = n;
    REFUSED(OF(pergrad_step_adam)(isa, &layer, of, &adam_coeffs, OF(params)[0], n, &adam_state[0], NULL,
                                  0, &info),
            PERGRAD_ERROR_NULL, "max_exp_avg_sq");
    adam_state[0].max_exp_avg_sq = OF(first)[0] + 1;
    REFUSED(OF(pergrad_step_adam)(isa, &layer, of, &adam_coeffs, OF(params)[0], n, &adam_state[0], NULL,
                                  0, &info),
            PERGRAD_ERROR_OVERLAP, "max_exp_avg_sq");
    CHECK(strcmp(info.needed, "apart from `exp_avg`") == 0);
    adam_state[0].max_exp_avg_sq = OF(third)[0];

    /* Coefficients that nobody made, or that were made for something else. */
    REFUSED(OF(pergrad_step_adam)(isa, &layer, of, (const OF(pergrad_adam_coeffs) *)&rmsprop_coeffs,
                                  OF(params)[0], n, &adam_state[0], NULL, 0, &info),
            PERGRAD_ERROR_COEFFS, "coeffs");
    memset(&adam_coeffs, 0, sizeof adam_coeffs);
    REFUSED(OF(pergrad_step_adam)(isa, &layer, of, &adam_coeffs, OF(params)[0], n, &adam_state[0], NULL,
                                  0, &info),
            PERGRAD_ERROR_COEFFS, "coeffs");

    /* A forgotten scale, and what is no value of its enumeration. */
    DONE(OF(pergrad_adam_step_coeffs)(&adam, 4, &adam_coeffs, &info));
    layer.scale = 0;
    REFUSED(OF(pergrad_step_adam)(isa, &layer, of, &adam_coeffs, OF(params)[0], n, &adam_state[0], NULL,
                                  0, &info),
            PERGRAD_ERROR_HYPER, "scale");
    layer.scale = 1;
    layer.second_moment = (pergrad_second_moment)2;
    REFUSED(OF(pergrad_step_adam)(isa, &layer, of, &adam_coeffs, OF(params)[0], n, &adam_state[0], NULL,
                                  0, &info),
            PERGRAD_ERROR_ENUM, "second_moment");
    layer.second_moment = PERGRAD_SECOND_MOMENT_GRAD_SQ;
    REFUSED(OF(pergrad_step_adam)(isa, &layer, (pergrad_part)-1, &adam_coeffs, OF(params)[0], n,
                                  &adam_state[0], NULL, 0, &info),
            PERGRAD_ERROR_ENUM, "part");
    CHECK(OF(both_same)(n));
}

/* Every pointer of pergrad_moments in turn null, misaligned, short, overlapping. */
static void OF(refusals)(pergrad_isa isa) {
    const OF(pergrad_batch) good = OF(batch)();
    OF(pergrad_batch) batch = good;
    const pergrad_error_info blank = {{0}, {0}, 0, 0, 0, 0};
    REAL *const odd = (REAL *)((char *)OF(out) + 1);
    OF(soil)();

#define MOMENTS(out, out_len, out_sq, out_sq_len)                                                         \
    OF(pergrad_moments)(isa, &batch, PERGRAD_START_FRESH, 1, out, out_len, out_sq, out_sq_len, NULL, 0, &info)
    REFUSED(MOMENTS(NULL, N, OF(out_sq), N), PERGRAD_ERROR_NULL, "grad");
    REFUSED(MOMENTS(OF(out), N, NULL, N), PERGRAD_ERROR_NULL, "grad_sq");
    REFUSED(MOMENTS(odd, N, OF(out_sq), N), PERGRAD_ERROR_MISALIGNED, "grad");
    CHECK(info.got == 1 && info.need > 1);
    REFUSED(MOMENTS(OF(out), N - 1, OF(out_sq), N), PERGRAD_ERROR_LENGTH, "grad");
    CHECK(info.got == N - 1 && info.need == N);
    REFUSED(MOMENTS(OF(out), N, OF(out_sq), N + 1), PERGRAD_ERROR_LENGTH, "grad_sq");
    REFUSED(MOMENTS(OF(out), N, OF(out) + N - 1, N), PERGRAD_ERROR_OVERLAP, "grad_sq");
    CHECK(strcmp(info.needed, "apart from `grad`") == 0);
    REFUSED(MOMENTS(OF(x), N, OF(out_sq), N), PERGRAD_ERROR_OVERLAP, "grad");
    CHECK(strcmp(info.needed, "apart from `x`") == 0);
    REFUSED(MOMENTS(OF(out), SIZE_MAX / 2, OF(out_sq), N), PERGRAD_ERROR_OVERFLOW, "grad");

    batch.x = NULL;
    REFUSED(MOMENTS(OF(out), N, OF(out_sq), N), PERGRAD_ERROR_NULL, "x");
    batch.x_len = 0;
    REFUSED(MOMENTS(OF(out), N, OF(out_sq), N), PERGRAD_ERROR_LENGTH, "x");
    batch = good;
    batch.dy = odd;
    REFUSED(MOMENTS(OF(out), N, OF(out_sq), N), PERGRAD_ERROR_MISALIGNED, "dy");
    batch = good;
    batch.example_weights = NULL;
    REFUSED(MOMENTS(OF(out), N, OF(out_sq), N), PERGRAD_ERROR_NULL, "example_weights");
    batch = good;
    batch.dims.batch = SIZE_MAX / 2;
    REFUSED(MOMENTS(OF(out), N, OF(out_sq), N), PERGRAD_ERROR_OVERFLOW, "x");
    batch = good;

    REFUSED(OF(pergrad_moments)((pergrad_isa)77, &batch, PERGRAD_START_FRESH, 1, OF(out), N, OF(out_sq), N,
                                NULL, 0, &info),
            PERGRAD_ERROR_ENUM, "isa");
    CHECK(info.got == 77);
    REFUSED(OF(pergrad_moments)(isa, &batch, (pergrad_start)2, 1, OF(out), N, OF(out_sq), N, NULL, 0, &info),
            PERGRAD_ERROR_ENUM, "start");
    REFUSED(OF(pergrad_moments)(isa, NULL, PERGRAD_START_FRESH, 1, OF(out), N, OF(out_sq), N, NULL, 0, &info),
            PERGRAD_ERROR_NULL, "batch");
    CHECK(info.got == 0 && info.need == 0); /* nothing is left of the errors before */
    REFUSED(OF(pergrad_moments)(isa, &batch, PERGRAD_START_FRESH, 1, OF(out), N, OF(out_sq), N, NULL, 4, &info),
            PERGRAD_ERROR_NULL, "scratch");
    CHECK(OF(pergrad_moments)(isa, &batch, PERGRAD_START_FRESH, 1, NULL, N, OF(out_sq), N, NULL, 0, NULL) ==
          PERGRAD_ERROR_NULL);
    CHECK(OF(pergrad_moments)(isa, &batch, PERGRAD_START_FRESH, 1, OF(out), N, OF(out_sq), N, NULL, 0,
                              (pergrad_error_info *)((char *)&info + 1)) == PERGRAD_ERROR_MISALIGNED);
    CHECK(OF(untouched)());

    /* On success the information is left alone. */
    info = blank;
    DONE(MOMENTS(OF(out), N, OF(out_sq), N));
    CHECK(memcmp(&info, &blank, sizeof info) == 0);
#undef MOMENTS
}

/* Counts the kernels of the self-test that give the digests of the list. */
static void OF(count)(const pergrad_check *check, void *context) {
    int k, any = 0;
    for (k = 0; k < 32; k++) {
        any |= check->digest[k];
    }
    CHECK(any != 0 && strlen(check->element) == 3 && strlen(check->kernel) > 3);
    *(int *)context += check->equal ? 1 : -100;
}

static void OF(self_test)(pergrad_isa isa) {
    static REAL memory[PERGRAD_SELF_TEST_MEMORY];
    const size_t enough = PERGRAD_SELF_TEST_MEMORY;
    int equal = 0;
    DONE(OF(pergrad_self_test)(isa, memory, enough, OF(count), &equal, &info));
    CHECK(equal == 16);
    DONE(OF(pergrad_self_test)(isa, memory, enough, NULL, NULL, &info));
    REFUSED(OF(pergrad_self_test)(isa, memory, enough - 1, OF(count), &equal, &info), PERGRAD_ERROR_LENGTH,
            "memory");
    REFUSED(OF(pergrad_self_test)(isa, NULL, enough, OF(count), &equal, &info), PERGRAD_ERROR_NULL, "memory");
    CHECK(equal == 16);
}

static void OF(kernels)(void) {
    size_t k;
    for (k = 0; k < sizeof ISAS / sizeof ISAS[0]; k++) {
        lcg = 1;
        OF(fill)(OF(x), B * T * I);
        OF(fill)(OF(dy), B * T * J);
        OF(fill)(OF(weights), B);
        if (pergrad_isa_available(ISAS[k])) {
            OF(statistics)(ISAS[k]);
            OF(linear)(ISAS[k]);
            OF(refusals)(ISAS[k]);
            OF(self_test)(ISAS[k]);
        } else {
            const OF(pergrad_batch) batch = OF(batch)();
            OF(soil)();
            REFUSED(OF(pergrad_per_example_grad)(ISAS[k], &batch, OF(out), B * N, &info),
                    PERGRAD_ERROR_ISA, "isa");
            CHECK(strncmp(info.needed, "portable", 8) == 0 && OF(untouched)());
        }
    }
    lcg = 2; /* the same, however many instruction sets there were */
    OF(steps)(PERGRAD_ISA_BEST, PERGRAD_PART_WEIGHT);
    OF(steps)(PERGRAD_ISA_BEST, PERGRAD_PART_BIAS);
}
