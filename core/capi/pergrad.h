/*
 * pergrad: SIMD kernels for per-example gradient statistics of linear layers, and the optimizers that
 * use them. No allocation, no global state, no thread of its own; the same bits on every target.
 *
 * Words and layouts. All arrays are row-major and dense.
 *
 * batch B, steps T, outputs J, inputs I   the extents; T = 1 unless weights are shared over time
 *                                         or space
 * x                 [B, T, I]   layer input
 * y, dy             [B, T, J]   layer output, and its gradient PER EXAMPLE: of the loss summed,
 *                               not averaged, over the batch
 * weight            [J, I]      y[b,t,j] = sum_i weight[j,i] x[b,t,i]
 * per_example_grad  [B, J, I]   G[b,j,i] = sum_t dy[b,t,j] x[b,t,i]
 * grad, grad_sq     [J, I]      sum_b G and sum_b G^2, each times a scale of the caller's, 1/B by
 *                               convention
 * window N                      length of a running average; beta = 1 - 1/N
 *
 * Arrays. Every array is a pointer and its number of elements, so that a wrong size is an error with
 * a name and not a stray write, also where the extents would tell the size. NULL with length 0 is an
 * empty array; where an array is optional, it is none. A NULL with another length, a pointer that is
 * not aligned to its type, and an array that is written and overlaps another are refused. What cannot
 * be checked is the caller's duty: that so many elements are there (initialised, except those of
 * arrays marked "out"), that nothing else writes to them during the call, and that structures lent as
 * pointers are as they were filled.
 *
 * Errors. A function that can fail returns a pergrad_error, PERGRAD_OK on success. Everything is
 * checked first: on an error nothing was written, but to *info. `info` may be NULL; otherwise an error
 * fills it with the argument's name, what it was and what was needed. On success it is left alone.
 * Functions on arrays fail with PERGRAD_ERROR_NULL, _MISALIGNED, _LENGTH, _OVERFLOW, _OVERLAP, _ENUM, _ISA
 * and, for a scale of 0, _HYPER; updates and steps also with _COEFFS and, if asked to, _NON_FINITE.
 * Other errors are told at the functions.
 *
 * Fresh and resumed. With PERGRAD_START_FRESH outputs are overwritten and never read, so they may
 * hold anything. With PERGRAD_START_RESUME the fold goes on from what they hold: micro-batches, in
 * order, give the bits of one batch.
 *
 * Scale. The finished sums are multiplied once by `scale`: 1 for the sum, 1.0 / B for the average. 0
 * is refused, since it is what a forgotten field holds.
 *
 * Scratch. Kernels that gain from it take scratch memory of any length; pergrad_scratch_len() tells
 * how much is worth giving, and NULL with 0 works. What it holds after a call means nothing, and it
 * is written only where the call succeeds or, in a checked step, ends with PERGRAD_ERROR_NON_FINITE.
 *
 * Arithmetic. Multiply-adds are fused, sums are folds in index order, division and square root are
 * correctly rounded, subnormals are kept: every instruction set gives the same bits. The
 * floating-point environment must be the default one.
 *
 * Threads. Functions may be called from any thread at once, on arrays of their own.
 *
 * Written by core/capi/header: change the source instead. SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef PERGRAD_H
#define PERGRAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Elements of memory that the self-test works in: 7 KiB of float, 14 KiB of double.
 */
#define PERGRAD_SELF_TEST_MEMORY 1832

/**
 * What came of a call. On anything but PERGRAD_OK nothing was written.
 */
enum pergrad_error
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Done.
     */
    PERGRAD_OK = 0,
    /**
     * A pointer is NULL. `arg` names it.
     */
    PERGRAD_ERROR_NULL = 1,
    /**
     * A pointer is not aligned to its type: `arg`; it is `got` bytes past a multiple of `need`.
     */
    PERGRAD_ERROR_MISALIGNED = 2,
    /**
     * An array has the wrong number of elements: `arg`, `got`, `need`.
     */
    PERGRAD_ERROR_LENGTH = 3,
    /**
     * The extents, or the length, of `arg` are more than the address space holds.
     */
    PERGRAD_ERROR_OVERFLOW = 4,
    /**
     * An array that is written overlaps another: `arg`, and `needed` names the other.
     */
    PERGRAD_ERROR_OVERLAP = 5,
    /**
     * A hyper-parameter makes no sense or cannot be expressed in the element type: `arg`, `value`,
     * `needed`.
     */
    PERGRAD_ERROR_HYPER = 6,
    /**
     * Two settings exclude each other: `needed` tells which, and why.
     */
    PERGRAD_ERROR_CONFLICT = 7,
    /**
     * A checked step would have left something that is not finite, first at `index` of `arg`.
     */
    PERGRAD_ERROR_NON_FINITE = 8,
    /**
     * This CPU or its operating system lacks the instruction set: `needed` lists those to be had.
     */
    PERGRAD_ERROR_ISA = 9,
    /**
     * An enumeration or a bool holds none of its values: `arg`; `got` is what it holds.
     */
    PERGRAD_ERROR_ENUM = 10,
    /**
     * Coefficients were not made by the step_coeffs function of their optimizer and type: `arg`.
     */
    PERGRAD_ERROR_COEFFS = 11,
    /**
     * A kernel does not give the promised bits on this machine: `arg`.
     */
    PERGRAD_ERROR_SELF_TEST = 13,
    /**
     * Another reason, of which this interface knows nothing more.
     */
    PERGRAD_ERROR_OTHER = 12,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum pergrad_error pergrad_error;
#else
typedef int32_t pergrad_error;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How the length of a running average is stated.
 */
enum pergrad_window_by
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * By its number of samples, N >= 1.
     */
    PERGRAD_WINDOW_LENGTH = 0,
    /**
     * By what the average keeps of itself, beta = 1 - 1/N, 0 <= beta < 1: `momentum`, `rho`,
     * `decay`, the `betas` of other libraries.
     */
    PERGRAD_WINDOW_BETA = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum pergrad_window_by pergrad_window_by;
#else
typedef int32_t pergrad_window_by;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What a running average does while it has seen fewer samples than its window is long.
 */
enum pergrad_warm_up
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Nothing: a new sample weighs 1/N from the start.
     */
    PERGRAD_WARM_UP_NONE = 0,
    /**
     * It weighs 1 / min(t, N): the exact mean of all samples until the window fills.
     */
    PERGRAD_WARM_UP_EXACT_MEAN = 1,
    /**
     * It weighs 1/N, and the average is divided by 1 - beta^t where it is used (Adam's).
     */
    PERGRAD_WARM_UP_DEBIAS = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum pergrad_warm_up pergrad_warm_up;
#else
typedef int32_t pergrad_warm_up;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Whether Adam's denominator follows the largest second moment so far, and of which average the
 * maximum is taken.
 */
enum pergrad_amsgrad
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * No.
     */
    PERGRAD_AMSGRAD_OFF = 0,
    /**
     * The maximum of the average as it is, corrected afterwards (PyTorch, Keras).
     */
    PERGRAD_AMSGRAD_UNCORRECTED = 1,
    /**
     * The maximum of the corrected average (optax).
     */
    PERGRAD_AMSGRAD_CORRECTED = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum pergrad_amsgrad pergrad_amsgrad;
#else
typedef int32_t pergrad_amsgrad;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The kind of weight decay.
 */
enum pergrad_decay_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * None.
     */
    PERGRAD_DECAY_NONE = 0,
    /**
     * grad += decay * param before anything else (PyTorch's weight_decay in SGD, RMSprop, Adam).
     */
    PERGRAD_DECAY_COUPLED = 1,
    /**
     * param -= lr * decay * param beside the step (AdamW; Keras' weight_decay).
     */
    PERGRAD_DECAY_DECOUPLED = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum pergrad_decay_kind pergrad_decay_kind;
#else
typedef int32_t pergrad_decay_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Which running quantity the steps of momentum follow.
 */
enum pergrad_momentum_form
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * None: plain gradient descent, param -= lr * grad. No buffer.
     */
    PERGRAD_MOMENTUM_FORM_PLAIN = 0,
    /**
     * buf = beta buf + (1 - dampening) grad, param -= lr * buf: every library's `momentum`.
     */
    PERGRAD_MOMENTUM_FORM_SUM = 1,
    /**
     * buf = buf + alpha_t (grad - buf), param -= lr * buf: a running average, with any warm-up. The
     * learning rate is N times the sum form's.
     */
    PERGRAD_MOMENTUM_FORM_AVERAGE = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum pergrad_momentum_form pergrad_momentum_form;
#else
typedef int32_t pergrad_momentum_form;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Where the learning rate stands in a momentum buffer. It matters when the rate changes.
 */
enum pergrad_lr_placement
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The buffer sums gradients, the rate multiplies the buffer (PyTorch, optax' sgd).
     */
    PERGRAD_LR_PLACEMENT_OUTSIDE = 0,
    /**
     * The buffer sums steps that were already multiplied (Keras; optax' rmsprop).
     */
    PERGRAD_LR_PLACEMENT_INSIDE = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum pergrad_lr_placement pergrad_lr_placement;
#else
typedef int32_t pergrad_lr_placement;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * An instruction set. All give the same bits; they differ in speed.
 */
enum pergrad_isa
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The fastest that this CPU and its operating system have.
     */
    PERGRAD_ISA_BEST = 0,
    /**
     * What every CPU of the compilation target has: SSE2, NEON, wasm SIMD, scalars.
     */
    PERGRAD_ISA_PORTABLE = 1,
    /**
     * AVX2 and FMA, on x86.
     */
    PERGRAD_ISA_AVX2 = 2,
    /**
     * AVX-512 F, BW, DQ and VL, on x86.
     */
    PERGRAD_ISA_AVX512 = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum pergrad_isa pergrad_isa;
#else
typedef int32_t pergrad_isa;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Where a sum starts.
 */
enum pergrad_start
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * From +0; the output is overwritten and never read.
     */
    PERGRAD_START_FRESH = 0,
    /**
     * From what the output holds.
     */
    PERGRAD_START_RESUME = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum pergrad_start pergrad_start;
#else
typedef int32_t pergrad_start;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Where the second moment of a layer step comes from.
 */
enum pergrad_second_moment
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * grad_sq, the mean of the squares of the per-example gradients.
     */
    PERGRAD_SECOND_MOMENT_GRAD_SQ = 0,
    /**
     * The square of the averaged gradient, as in other libraries: it shrinks as the batch grows.
     */
    PERGRAD_SECOND_MOMENT_SQUARED_GRAD = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum pergrad_second_moment pergrad_second_moment;
#else
typedef int32_t pergrad_second_moment;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What a step does about values that are not finite.
 */
enum pergrad_non_finite
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * They propagate, as in other libraries.
     */
    PERGRAD_NON_FINITE_PROPAGATE = 0,
    /**
     * The step computes everything first and commits only if every new parameter and every new
     * state is finite; otherwise it changes nothing and fails with PERGRAD_ERROR_NON_FINITE. Costs
     * a second pass.
     */
    PERGRAD_NON_FINITE_REFUSE = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum pergrad_non_finite pergrad_non_finite;
#else
typedef int32_t pergrad_non_finite;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Which parameters of the layer a step is for.
 */
enum pergrad_part
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The weight, [J, I].
     */
    PERGRAD_PART_WEIGHT = 0,
    /**
     * The bias, [J]; `x` of the batch is not looked at.
     */
    PERGRAD_PART_BIAS = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum pergrad_part pergrad_part;
#else
typedef int32_t pergrad_part;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The length of a running average, in samples.
 */
typedef struct pergrad_window {
    /**
     * What `value` is.
     */
    pergrad_window_by by;
    /**
     * N or beta.
     */
    double value;
} pergrad_window;

/**
 * What an error was about: filled where a call is refused. Members that an error has no use for are 0
 * or empty. The strings end with NUL.
 */
typedef struct pergrad_error_info {
    /**
     * Name of the argument, of the member of a structure, or of the hyper-parameter.
     */
    char arg[32];
    /**
     * What is needed, in words.
     */
    char needed[80];
    /**
     * The number of elements it has, or another number that it is.
     */
    size_t got;
    /**
     * The number that is needed.
     */
    size_t need;
    /**
     * The first bad index, flat and row-major.
     */
    size_t index;
    /**
     * The value of a hyper-parameter.
     */
    double value;
} pergrad_error_info;

/**
 * Where epsilon stands in the denominator: sqrt(v^ + inside) + outside, where v is the second moment
 * and v^ = v / (1 - beta^t) the corrected one (the same without PERGRAD_WARM_UP_DEBIAS).
 */
typedef struct pergrad_epsilon {
    /**
     * Added under the root (optax' eps_root; Keras' and optax' RMSProp).
     */
    double inside;
    /**
     * Added to the root (PyTorch, optax' eps).
     */
    double outside;
    /**
     * sqrt(v) + outside, the corrections moved to the learning rate: the "epsilon hat" of Kingma and
     * Ba (Keras' Adam). `inside` must then be 0.
     */
    bool hat;
} pergrad_epsilon;

/**
 * Weight decay.
 */
typedef struct pergrad_decay {
    /**
     * Which kind.
     */
    pergrad_decay_kind kind;
    /**
     * The decay, >= 0; not looked at where there is none.
     */
    double value;
} pergrad_decay;

/**
 * Hyper-parameters of Adam, of AdamW (by PERGRAD_DECAY_DECOUPLED), AMSGrad and NAdam. With g the gradient
 * (its sign turned by `maximize`, coupled decay added) and s the second moment, g^2 or an array of the
 * caller's:
 *
 * exp_avg    += alpha1_t (g - exp_avg)
 * exp_avg_sq += alpha2_t (s - exp_avg_sq)
 * param      -= lr m^ / denominator
 *
 * where m^ follows from `warm_up` and the denominator from `epsilon` and `amsgrad`.
 */
typedef struct pergrad_adam_config {
    /**
     * Learning rate.
     */
    double lr;
    /**
     * Window of `exp_avg`.
     */
    struct pergrad_window window;
    /**
     * Window of `exp_avg_sq`.
     */
    struct pergrad_window window_sq;
    /**
     * Warm-up of both averages.
     */
    pergrad_warm_up warm_up;
    /**
     * Follow the largest second moment.
     */
    pergrad_amsgrad amsgrad;
    /**
     * Where epsilon stands, and its value.
     */
    struct pergrad_epsilon epsilon;
    /**
     * Weight decay.
     */
    struct pergrad_decay decay;
    /**
     * Look ahead by one step in the average of the gradient.
     */
    bool nesterov;
    /**
     * Ascend instead of descend.
     */
    bool maximize;
    /**
     * 0: rate and windows are per step. Otherwise they are per example, and steps are of so many
     * examples: lr * B, windows N / B (never under 1).
     */
    size_t at_batch_size;
} pergrad_adam_config;

/**
 * The coefficients of one step of Adam: made by pergrad_adam_step_coeffs_f32() or _f64(), for as many
 * arrays of parameters as one likes. May be copied; the members are the library's.
 */
typedef struct pergrad_adam_coeffs_f32 {
    /**
     * Which coefficients these are.
     */
    uint32_t made;
    /**
     * The coefficients.
     */
    float opaque[12];
} pergrad_adam_coeffs_f32;

/**
 * The coefficients of one step of Adam: made by pergrad_adam_step_coeffs_f32() or _f64(), for as many
 * arrays of parameters as one likes. May be copied; the members are the library's.
 */
typedef struct pergrad_adam_coeffs_f64 {
    /**
     * Which coefficients these are.
     */
    uint32_t made;
    /**
     * The coefficients.
     */
    double opaque[12];
} pergrad_adam_coeffs_f64;

/**
 * Hyper-parameters of momentum. With g the gradient (its sign turned by `maximize`, coupled decay added),
 * each step does buf = ... by `form`, d = buf, or with `nesterov` d = beta buf + g (sum form) or
 * d = buf + alpha_t (g - buf) (average form), and param -= lr d.
 */
typedef struct pergrad_momentum_config {
    /**
     * Learning rate.
     */
    double lr;
    /**
     * Window of the running sum or average.
     */
    struct pergrad_window window;
    /**
     * Sum, average or plain.
     */
    pergrad_momentum_form form;
    /**
     * Warm-up of the average form. (The sum form has none.)
     */
    pergrad_warm_up warm_up;
    /**
     * Of the sum form: the gradient enters times 1 - dampening, but whole at t = 1 (PyTorch).
     */
    double dampening;
    /**
     * Where the learning rate stands, of the sum form.
     */
    pergrad_lr_placement lr_placement;
    /**
     * Look ahead by one step.
     */
    bool nesterov;
    /**
     * Ascend instead of descend.
     */
    bool maximize;
    /**
     * Weight decay.
     */
    struct pergrad_decay decay;
    /**
     * 0: rate and window are per step. Otherwise they are per example, and steps are of so many
     * examples: lr * B, window N / B (never under 1); in the sum form, whose buffer grows with the
     * window, lr * B * N / N'.
     */
    size_t at_batch_size;
} pergrad_momentum_config;

/**
 * The coefficients of one step of momentum: made by pergrad_momentum_step_coeffs_f32() or _f64(), for as
 * many arrays of parameters as one likes. May be copied; the members are the library's.
 */
typedef struct pergrad_momentum_coeffs_f32 {
    /**
     * Which coefficients these are.
     */
    uint32_t made;
    /**
     * The coefficients.
     */
    float opaque[12];
} pergrad_momentum_coeffs_f32;

/**
 * The coefficients of one step of momentum: made by pergrad_momentum_step_coeffs_f32() or _f64(), for as
 * many arrays of parameters as one likes. May be copied; the members are the library's.
 */
typedef struct pergrad_momentum_coeffs_f64 {
    /**
     * Which coefficients these are.
     */
    uint32_t made;
    /**
     * The coefficients.
     */
    double opaque[12];
} pergrad_momentum_coeffs_f64;

/**
 * Hyper-parameters of RMSProp. With g the gradient (its sign turned by `maximize`, coupled decay added)
 * and s the second moment, g^2 or an array of the caller's:
 *
 * exp_avg_sq += alpha_t (s - exp_avg_sq)
 * exp_avg    += alpha_t (g - exp_avg)                      if centered
 * v           = exp_avg_sq, or max(exp_avg_sq - exp_avg^2, 0) if centered
 * q           = g / denominator(v)                         by `epsilon`
 * buf         = beta buf + q, d = buf or (nesterov) beta buf + q; without momentum d = q
 * param      -= lr d
 */
typedef struct pergrad_rmsprop_config {
    /**
     * Learning rate.
     */
    double lr;
    /**
     * Window of the averages.
     */
    struct pergrad_window window;
    /**
     * Window of the momentum over the divided gradients; not looked at unless `has_momentum`.
     */
    struct pergrad_window momentum;
    /**
     * Warm-up of the averages.
     */
    pergrad_warm_up warm_up;
    /**
     * Where the learning rate stands in the momentum buffer.
     */
    pergrad_lr_placement lr_placement;
    /**
     * Where epsilon stands, and its value.
     */
    struct pergrad_epsilon epsilon;
    /**
     * Weight decay.
     */
    struct pergrad_decay decay;
    /**
     * What whoever allocates `exp_avg_sq` fills it with (optax' initial_scale).
     */
    double initial_exp_avg_sq;
    /**
     * Subtract the square of the average gradient.
     */
    bool centered;
    /**
     * Momentum (sum form) over the divided gradients.
     */
    bool has_momentum;
    /**
     * Look ahead by one step; needs momentum.
     */
    bool nesterov;
    /**
     * Ascend instead of descend.
     */
    bool maximize;
    /**
     * 0: rate and windows are per step. Otherwise they are per example, and steps are of so many
     * examples: lr * B, windows N / B (never under 1); with momentum, whose buffer is a sum,
     * lr * B * N / N' of the momentum's windows, so that the distance travelled per example stays.
     */
    size_t at_batch_size;
} pergrad_rmsprop_config;

/**
 * The coefficients of one step of RMSProp: made by pergrad_rmsprop_step_coeffs_f32() or _f64(), for as
 * many arrays of parameters as one likes. May be copied; the members are the library's.
 */
typedef struct pergrad_rmsprop_coeffs_f32 {
    /**
     * Which coefficients these are.
     */
    uint32_t made;
    /**
     * The coefficients.
     */
    float opaque[12];
} pergrad_rmsprop_coeffs_f32;

/**
 * The coefficients of one step of RMSProp: made by pergrad_rmsprop_step_coeffs_f32() or _f64(), for as
 * many arrays of parameters as one likes. May be copied; the members are the library's.
 */
typedef struct pergrad_rmsprop_coeffs_f64 {
    /**
     * Which coefficients these are.
     */
    uint32_t made;
    /**
     * The coefficients.
     */
    double opaque[12];
} pergrad_rmsprop_coeffs_f64;

/**
 * The extents of a linear layer as the kernels see it. Any of them may be 0.
 */
typedef struct pergrad_dims {
    /**
     * Examples, B.
     */
    size_t batch;
    /**
     * Uses of the weights in each example, T: 1 unless weights are shared over time or space.
     */
    size_t steps;
    /**
     * Outputs of the layer, J.
     */
    size_t outputs;
    /**
     * Inputs of the layer, I.
     */
    size_t inputs;
} pergrad_dims;

/**
 * What a layer saw of a batch: its inputs and the gradients of its outputs. (Functions on the bias do
 * not look at `x`, which may then be NULL.)
 */
typedef struct pergrad_batch_f32 {
    /**
     * The extents.
     */
    struct pergrad_dims dims;
    /**
     * Layer input, [B, T, I].
     */
    const float *x;
    /**
     * Elements of `x`.
     */
    size_t x_len;
    /**
     * Gradient of the layer's output per example (of the loss summed, not averaged), [B, T, J].
     */
    const float *dy;
    /**
     * Elements of `dy`.
     */
    size_t dy_len;
    /**
     * Optional factor c[b] of each example's `dy`, [B]: clipping, importance weights, a mask.
     */
    const float *example_weights;
    /**
     * Elements of `example_weights`.
     */
    size_t example_weights_len;
} pergrad_batch_f32;

/**
 * What a layer saw of a batch: its inputs and the gradients of its outputs. (Functions on the bias do
 * not look at `x`, which may then be NULL.)
 */
typedef struct pergrad_batch_f64 {
    /**
     * The extents.
     */
    struct pergrad_dims dims;
    /**
     * Layer input, [B, T, I].
     */
    const double *x;
    /**
     * Elements of `x`.
     */
    size_t x_len;
    /**
     * Gradient of the layer's output per example (of the loss summed, not averaged), [B, T, J].
     */
    const double *dy;
    /**
     * Elements of `dy`.
     */
    size_t dy_len;
    /**
     * Optional factor c[b] of each example's `dy`, [B]: clipping, importance weights, a mask.
     */
    const double *example_weights;
    /**
     * Elements of `example_weights`.
     */
    size_t example_weights_len;
} pergrad_batch_f64;

/**
 * What one kernel gave in the self-test. The strings end with NUL.
 */
typedef struct pergrad_check {
    /**
     * The element type, "f32" or "f64".
     */
    char element[4];
    /**
     * The kernel.
     */
    char kernel[28];
    /**
     * SHA-256 of all that the kernel wrote.
     */
    uint8_t digest[32];
    /**
     * Whether it is the digest of the list, which is the same for every machine.
     */
    bool equal;
} pergrad_check;

/**
 * What a layer step steps on: the batch, and how its gradients are taken.
 */
typedef struct pergrad_layer_step_f32 {
    /**
     * What the layer saw.
     */
    struct pergrad_batch_f32 batch;
    /**
     * Multiplies the sums over the batch: 1.0 / B for the average, 1 for the sum. Not 0.
     */
    double scale;
    /**
     * What RMSProp and Adam take as the second moment. (Momentum has none.)
     */
    pergrad_second_moment second_moment;
    /**
     * What to do about results that are not finite.
     */
    pergrad_non_finite non_finite;
} pergrad_layer_step_f32;

/**
 * What a layer step steps on: the batch, and how its gradients are taken.
 */
typedef struct pergrad_layer_step_f64 {
    /**
     * What the layer saw.
     */
    struct pergrad_batch_f64 batch;
    /**
     * Multiplies the sums over the batch: 1.0 / B for the average, 1 for the sum. Not 0.
     */
    double scale;
    /**
     * What RMSProp and Adam take as the second moment. (Momentum has none.)
     */
    pergrad_second_moment second_moment;
    /**
     * What to do about results that are not finite.
     */
    pergrad_non_finite non_finite;
} pergrad_layer_step_f64;

/**
 * What RMSProp keeps between steps: arrays like the parameters, updated in place. They start as zeros,
 * exp_avg_sq as `initial_exp_avg_sq` of the configuration.
 */
typedef struct pergrad_rmsprop_state_f32 {
    /**
     * Running average of the second moment.
     */
    float *exp_avg_sq;
    /**
     * Elements of `exp_avg_sq`.
     */
    size_t exp_avg_sq_len;
    /**
     * Running average of the gradient if centered, else NULL.
     */
    float *exp_avg;
    /**
     * Elements of `exp_avg`, or 0.
     */
    size_t exp_avg_len;
    /**
     * The momentum buffer if there is momentum, else NULL.
     */
    float *momentum_buffer;
    /**
     * Elements of `momentum_buffer`, or 0.
     */
    size_t momentum_buffer_len;
} pergrad_rmsprop_state_f32;

/**
 * What RMSProp keeps between steps: arrays like the parameters, updated in place. They start as zeros,
 * exp_avg_sq as `initial_exp_avg_sq` of the configuration.
 */
typedef struct pergrad_rmsprop_state_f64 {
    /**
     * Running average of the second moment.
     */
    double *exp_avg_sq;
    /**
     * Elements of `exp_avg_sq`.
     */
    size_t exp_avg_sq_len;
    /**
     * Running average of the gradient if centered, else NULL.
     */
    double *exp_avg;
    /**
     * Elements of `exp_avg`, or 0.
     */
    size_t exp_avg_len;
    /**
     * The momentum buffer if there is momentum, else NULL.
     */
    double *momentum_buffer;
    /**
     * Elements of `momentum_buffer`, or 0.
     */
    size_t momentum_buffer_len;
} pergrad_rmsprop_state_f64;

/**
 * What Adam keeps between steps: arrays like the parameters, updated in place. They start as zeros.
 */
typedef struct pergrad_adam_state_f32 {
    /**
     * Running average of the gradient.
     */
    float *exp_avg;
    /**
     * Elements of `exp_avg`.
     */
    size_t exp_avg_len;
    /**
     * Running average of the second moment.
     */
    float *exp_avg_sq;
    /**
     * Elements of `exp_avg_sq`.
     */
    size_t exp_avg_sq_len;
    /**
     * Its maximum so far with AMSGrad, else NULL.
     */
    float *max_exp_avg_sq;
    /**
     * Elements of `max_exp_avg_sq`, or 0.
     */
    size_t max_exp_avg_sq_len;
} pergrad_adam_state_f32;

/**
 * What Adam keeps between steps: arrays like the parameters, updated in place. They start as zeros.
 */
typedef struct pergrad_adam_state_f64 {
    /**
     * Running average of the gradient.
     */
    double *exp_avg;
    /**
     * Elements of `exp_avg`.
     */
    size_t exp_avg_len;
    /**
     * Running average of the second moment.
     */
    double *exp_avg_sq;
    /**
     * Elements of `exp_avg_sq`.
     */
    size_t exp_avg_sq_len;
    /**
     * Its maximum so far with AMSGrad, else NULL.
     */
    double *max_exp_avg_sq;
    /**
     * Elements of `max_exp_avg_sq`, or 0.
     */
    size_t max_exp_avg_sq_len;
} pergrad_adam_state_f64;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * `*length` becomes N of a window in steps of `at_batch_size` examples, where it is stated in
 * examples: N / B, never under 1. `at_batch_size` 0 leaves it as stated. The state y of momentum in
 * the sum form and the state mu of the average form convert by y = N mu.
 *
 * Errors: PERGRAD_ERROR_HYPER unless N >= 1 and finite, or 0 <= beta < 1.
 */
pergrad_error pergrad_window_length(struct pergrad_window window,
                                    size_t at_batch_size,
                                    double *length,
                                    struct pergrad_error_info *info);

/**
 * pergrad's own convention: the exact mean as warm-up, epsilon 1e-8 outside the root. `window` and
 * `window_sq` are lengths N; set `at_batch_size` if they and `lr` are stated per example.
 *
 * Errors: PERGRAD_ERROR_HYPER for a window that is not at least 1 and finite.
 */
pergrad_error pergrad_adam_new(double lr,
                               double window,
                               double window_sq,
                               struct pergrad_adam_config *config,
                               struct pergrad_error_info *info);

/**
 * torch.optim.Adam(lr): betas 0.9 and 0.999, epsilon 1e-8 outside. Its amsgrad is
 * PERGRAD_AMSGRAD_UNCORRECTED. The rate is checked when coefficients are made.
 */
pergrad_error pergrad_adam_torch(double lr,
                                 struct pergrad_adam_config *config,
                                 struct pergrad_error_info *info);

/**
 * keras.optimizers.Adam(learning_rate): epsilon 1e-7 in the hat form. Its amsgrad is
 * PERGRAD_AMSGRAD_UNCORRECTED, its weight_decay PERGRAD_DECAY_DECOUPLED.
 */
pergrad_error pergrad_adam_keras(double lr,
                                 struct pergrad_adam_config *config,
                                 struct pergrad_error_info *info);

/**
 * optax.adam(learning_rate): epsilon 1e-8 outside. Its amsgrad is PERGRAD_AMSGRAD_CORRECTED.
 */
pergrad_error pergrad_adam_optax(double lr,
                                 struct pergrad_adam_config *config,
                                 struct pergrad_error_info *info);

/**
 * The coefficients of step `t` >= 1, computed once in double precision and rounded once.
 *
 * Errors: PERGRAD_ERROR_HYPER for a window outside of its range, for a learning rate, epsilon or
 * decay that is negative or not finite in the element type, for an epsilon that rounds to 0 there
 * unless it is 0, or for t = 0; PERGRAD_ERROR_CONFLICT for settings that exclude each other;
 * PERGRAD_ERROR_ENUM.
 */
pergrad_error pergrad_adam_step_coeffs_f32(const struct pergrad_adam_config *config,
                                           uint64_t t,
                                           struct pergrad_adam_coeffs_f32 *coeffs,
                                           struct pergrad_error_info *info);

/**
 * As `pergrad_adam_step_coeffs_f32()`, in double precision.
 */
pergrad_error pergrad_adam_step_coeffs_f64(const struct pergrad_adam_config *config,
                                           uint64_t t,
                                           struct pergrad_adam_coeffs_f64 *coeffs,
                                           struct pergrad_error_info *info);

/**
 * pergrad's own convention: the average form with the exact mean as warm-up. `window` is a length N;
 * set `at_batch_size` if it and `lr` are stated per example.
 *
 * Errors: PERGRAD_ERROR_HYPER for a window that is not at least 1 and finite.
 */
pergrad_error pergrad_momentum_new(double lr,
                                   double window,
                                   struct pergrad_momentum_config *config,
                                   struct pergrad_error_info *info);

/**
 * torch.optim.SGD(lr, momentum); plain gradient descent where `momentum` is 0.
 *
 * Errors: PERGRAD_ERROR_HYPER unless 0 <= momentum < 1. The rate is checked when coefficients are
 * made.
 */
pergrad_error pergrad_momentum_torch(double lr,
                                     double momentum,
                                     struct pergrad_momentum_config *config,
                                     struct pergrad_error_info *info);

/**
 * keras.optimizers.SGD(learning_rate, momentum): the rate inside the buffer.
 *
 * Errors: as pergrad_momentum_torch().
 */
pergrad_error pergrad_momentum_keras(double lr,
                                     double momentum,
                                     struct pergrad_momentum_config *config,
                                     struct pergrad_error_info *info);

/**
 * optax.sgd(learning_rate, momentum).
 *
 * Errors: as pergrad_momentum_torch().
 */
pergrad_error pergrad_momentum_optax(double lr,
                                     double momentum,
                                     struct pergrad_momentum_config *config,
                                     struct pergrad_error_info *info);

/**
 * Turns the sum form, in place, into the average form that makes the same steps: lr times N. Only
 * without dampening is it the same at every step. Other forms stay.
 *
 * Errors: PERGRAD_ERROR_HYPER for the window, PERGRAD_ERROR_ENUM.
 */
pergrad_error pergrad_momentum_to_average_form(struct pergrad_momentum_config *config,
                                               struct pergrad_error_info *info);

/**
 * Turns the average form, in place, into the sum form that makes the same steps: lr divided by N. It
 * has no warm-up. Other forms stay.
 *
 * Errors: PERGRAD_ERROR_HYPER for the window, PERGRAD_ERROR_ENUM.
 */
pergrad_error pergrad_momentum_to_sum_form(struct pergrad_momentum_config *config,
                                           struct pergrad_error_info *info);

/**
 * The coefficients of step `t` >= 1, computed once in double precision and rounded once.
 *
 * Errors: PERGRAD_ERROR_HYPER for a window outside of its range, for a learning rate, dampening or
 * decay that is negative or not finite in the element type, or for t = 0; PERGRAD_ERROR_CONFLICT for
 * settings that exclude each other; PERGRAD_ERROR_ENUM.
 */
pergrad_error pergrad_momentum_step_coeffs_f32(const struct pergrad_momentum_config *config,
                                               uint64_t t,
                                               struct pergrad_momentum_coeffs_f32 *coeffs,
                                               struct pergrad_error_info *info);

/**
 * As `pergrad_momentum_step_coeffs_f32()`, in double precision.
 */
pergrad_error pergrad_momentum_step_coeffs_f64(const struct pergrad_momentum_config *config,
                                               uint64_t t,
                                               struct pergrad_momentum_coeffs_f64 *coeffs,
                                               struct pergrad_error_info *info);

/**
 * pergrad's own convention: the exact mean as warm-up, epsilon 1e-8 outside the root. `window` is a
 * length N; set `at_batch_size` if it and `lr` are stated per example.
 *
 * Errors: PERGRAD_ERROR_HYPER for a window that is not at least 1 and finite.
 */
pergrad_error pergrad_rmsprop_new(double lr,
                                  double window,
                                  struct pergrad_rmsprop_config *config,
                                  struct pergrad_error_info *info);

/**
 * torch.optim.RMSprop(lr): alpha 0.99, epsilon 1e-8 outside. The rate is checked when coefficients
 * are made.
 */
pergrad_error pergrad_rmsprop_torch(double lr,
                                    struct pergrad_rmsprop_config *config,
                                    struct pergrad_error_info *info);

/**
 * keras.optimizers.RMSprop(learning_rate): rho 0.9, epsilon 1e-7 inside the root, the rate inside the
 * momentum buffer.
 */
pergrad_error pergrad_rmsprop_keras(double lr,
                                    struct pergrad_rmsprop_config *config,
                                    struct pergrad_error_info *info);

/**
 * optax.rmsprop(learning_rate): decay 0.9, epsilon 1e-8 inside the root, the rate inside the momentum
 * buffer.
 */
pergrad_error pergrad_rmsprop_optax(double lr,
                                    struct pergrad_rmsprop_config *config,
                                    struct pergrad_error_info *info);

/**
 * The coefficients of step `t` >= 1, computed once in double precision and rounded once.
 *
 * Errors: as pergrad_adam_step_coeffs_f32().
 */
pergrad_error pergrad_rmsprop_step_coeffs_f32(const struct pergrad_rmsprop_config *config,
                                              uint64_t t,
                                              struct pergrad_rmsprop_coeffs_f32 *coeffs,
                                              struct pergrad_error_info *info);

/**
 * As `pergrad_rmsprop_step_coeffs_f32()`, in double precision.
 */
pergrad_error pergrad_rmsprop_step_coeffs_f64(const struct pergrad_rmsprop_config *config,
                                              uint64_t t,
                                              struct pergrad_rmsprop_coeffs_f64 *coeffs,
                                              struct pergrad_error_info *info);

/**
 * A sentence for each code, static; also for values that are no code. Never NULL.
 */
const char *pergrad_error_message(pergrad_error code);

/**
 * The version of the library, static: "0.1.0", say.
 */
const char *pergrad_version(void);

/**
 * Which instruction set PERGRAD_ISA_BEST is here.
 */
pergrad_isa pergrad_isa_detect(void);

/**
 * Whether this CPU and its operating system have an instruction set; false for unknown values.
 */
bool pergrad_isa_available(pergrad_isa isa);

/**
 * The name of an instruction set, static: "best", "portable", "avx2", "avx512"; "unknown" for other
 * values. Never NULL.
 */
const char *pergrad_isa_name(pergrad_isa isa);

/**
 * The forward product: y[b,t,j] = y[b,t,j] + (sum_i weight[j,i] x[b,t,i] + bias[j]).
 *
 * x [B, T, I]; weight [J, I]; bias [J], optional; y [B, T, J]: added to with PERGRAD_START_RESUME,
 * overwritten as if it held +0 and never read with PERGRAD_START_FRESH.
 */
pergrad_error pergrad_forward_f32(pergrad_isa isa,
                                  const struct pergrad_dims *dims,
                                  const float *x,
                                  size_t x_len,
                                  const float *weight,
                                  size_t weight_len,
                                  const float *bias,
                                  size_t bias_len,
                                  pergrad_start start,
                                  float *y,
                                  size_t y_len,
                                  struct pergrad_error_info *info);

/**
 * As `pergrad_forward_f32()`, in double precision.
 */
pergrad_error pergrad_forward_f64(pergrad_isa isa,
                                  const struct pergrad_dims *dims,
                                  const double *x,
                                  size_t x_len,
                                  const double *weight,
                                  size_t weight_len,
                                  const double *bias,
                                  size_t bias_len,
                                  pergrad_start start,
                                  double *y,
                                  size_t y_len,
                                  struct pergrad_error_info *info);

/**
 * The gradient of the layer's input: dx[b,t,i] = fold over ascending j of
 * fma(dy[b,t,j], weight[j,i], dx).
 *
 * dy [B, T, J]; weight [J, I]; dx [B, T, I]: added to with PERGRAD_START_RESUME, overwritten and
 * never read with PERGRAD_START_FRESH.
 */
pergrad_error pergrad_input_grad_f32(pergrad_isa isa,
                                     const struct pergrad_dims *dims,
                                     const float *dy,
                                     size_t dy_len,
                                     const float *weight,
                                     size_t weight_len,
                                     pergrad_start start,
                                     float *dx,
                                     size_t dx_len,
                                     struct pergrad_error_info *info);

/**
 * As `pergrad_input_grad_f32()`, in double precision.
 */
pergrad_error pergrad_input_grad_f64(pergrad_isa isa,
                                     const struct pergrad_dims *dims,
                                     const double *dy,
                                     size_t dy_len,
                                     const double *weight,
                                     size_t weight_len,
                                     pergrad_start start,
                                     double *dx,
                                     size_t dx_len,
                                     struct pergrad_error_info *info);

/**
 * Elements of scratch memory with which pergrad_grad, pergrad_moments and the layer steps on these
 * extents run at full speed; 0 where there is nothing to gain. Less works, and so does none.
 */
size_t pergrad_scratch_len(struct pergrad_dims dims);

/**
 * The per-example gradients: G[b,j,i] is the rounded product c[b] dy[b,0,j] x[b,0,i], then fma over
 * the further steps (c only with example weights).
 *
 * per_example_grad: out [B, J, I], never read. pergrad_moments_f32() reduces them without storing
 * them, to the same bits.
 */
pergrad_error pergrad_per_example_grad_f32(pergrad_isa isa,
                                           const struct pergrad_batch_f32 *batch,
                                           float *per_example_grad,
                                           size_t per_example_grad_len,
                                           struct pergrad_error_info *info);

/**
 * As `pergrad_per_example_grad_f32()`, in double precision.
 */
pergrad_error pergrad_per_example_grad_f64(pergrad_isa isa,
                                           const struct pergrad_batch_f64 *batch,
                                           double *per_example_grad,
                                           size_t per_example_grad_len,
                                           struct pergrad_error_info *info);

/**
 * Sum and sum of squares over rows [B, n] of any origin, in one pass:
 * sum = scale * fold_b (sum + rows[b]), sum_sq = scale * fold_b fma(rows[b], rows[b], sum_sq).
 *
 * batch is the number of rows; sum, sum_sq: out [n], where sum_len is n; never read with
 * PERGRAD_START_FRESH.
 */
pergrad_error pergrad_reduce_f32(pergrad_isa isa,
                                 const float *rows,
                                 size_t rows_len,
                                 size_t batch,
                                 pergrad_start start,
                                 double scale,
                                 float *sum,
                                 size_t sum_len,
                                 float *sum_sq,
                                 size_t sum_sq_len,
                                 struct pergrad_error_info *info);

/**
 * As `pergrad_reduce_f32()`, in double precision.
 */
pergrad_error pergrad_reduce_f64(pergrad_isa isa,
                                 const double *rows,
                                 size_t rows_len,
                                 size_t batch,
                                 pergrad_start start,
                                 double scale,
                                 double *sum,
                                 size_t sum_len,
                                 double *sum_sq,
                                 size_t sum_sq_len,
                                 struct pergrad_error_info *info);

/**
 * The averaged gradient alone, the ordinary matrix product:
 * grad[j,i] = scale * fold over (b, t) of fma(c[b] dy[b,t,j], x[b,t,i], grad).
 *
 * grad: out [J, I], never read with PERGRAD_START_FRESH. Its last bits differ from the grad of
 * pergrad_moments_f32(), which rounds the product and the sum.
 */
pergrad_error pergrad_grad_f32(pergrad_isa isa,
                               const struct pergrad_batch_f32 *batch,
                               pergrad_start start,
                               double scale,
                               float *grad,
                               size_t grad_len,
                               float *scratch,
                               size_t scratch_len,
                               struct pergrad_error_info *info);

/**
 * As `pergrad_grad_f32()`, in double precision.
 */
pergrad_error pergrad_grad_f64(pergrad_isa isa,
                               const struct pergrad_batch_f64 *batch,
                               pergrad_start start,
                               double scale,
                               double *grad,
                               size_t grad_len,
                               double *scratch,
                               size_t scratch_len,
                               struct pergrad_error_info *info);

/**
 * The averaged gradient and the mean of the squared per-example gradients, in one sweep over dy and
 * x: with G as in pergrad_per_example_grad_f32(), grad = scale * fold_b (grad + G) and
 * grad_sq = scale * fold_b fma(G, G, grad_sq).
 *
 * grad, grad_sq: out [J, I], never read with PERGRAD_START_FRESH.
 */
pergrad_error pergrad_moments_f32(pergrad_isa isa,
                                  const struct pergrad_batch_f32 *batch,
                                  pergrad_start start,
                                  double scale,
                                  float *grad,
                                  size_t grad_len,
                                  float *grad_sq,
                                  size_t grad_sq_len,
                                  float *scratch,
                                  size_t scratch_len,
                                  struct pergrad_error_info *info);

/**
 * As `pergrad_moments_f32()`, in double precision.
 */
pergrad_error pergrad_moments_f64(pergrad_isa isa,
                                  const struct pergrad_batch_f64 *batch,
                                  pergrad_start start,
                                  double scale,
                                  double *grad,
                                  size_t grad_len,
                                  double *grad_sq,
                                  size_t grad_sq_len,
                                  double *scratch,
                                  size_t scratch_len,
                                  struct pergrad_error_info *info);

/**
 * The averaged gradient of the bias alone:
 * grad[j] = scale * fold over (b, t) of (grad + c[b] dy[b,t,j]).
 *
 * x of the batch is not looked at; grad: out [J], never read with PERGRAD_START_FRESH.
 */
pergrad_error pergrad_bias_grad_f32(pergrad_isa isa,
                                    const struct pergrad_batch_f32 *batch,
                                    pergrad_start start,
                                    double scale,
                                    float *grad,
                                    size_t grad_len,
                                    struct pergrad_error_info *info);

/**
 * As `pergrad_bias_grad_f32()`, in double precision.
 */
pergrad_error pergrad_bias_grad_f64(pergrad_isa isa,
                                    const struct pergrad_batch_f64 *batch,
                                    pergrad_start start,
                                    double scale,
                                    double *grad,
                                    size_t grad_len,
                                    struct pergrad_error_info *info);

/**
 * The moments of the bias: as pergrad_moments_f32(), with G[b,j] = sum_t c[b] dy[b,t,j] by plain
 * additions.
 *
 * x of the batch is not looked at; grad, grad_sq: out [J], never read with PERGRAD_START_FRESH.
 */
pergrad_error pergrad_bias_moments_f32(pergrad_isa isa,
                                       const struct pergrad_batch_f32 *batch,
                                       pergrad_start start,
                                       double scale,
                                       float *grad,
                                       size_t grad_len,
                                       float *grad_sq,
                                       size_t grad_sq_len,
                                       struct pergrad_error_info *info);

/**
 * As `pergrad_bias_moments_f32()`, in double precision.
 */
pergrad_error pergrad_bias_moments_f64(pergrad_isa isa,
                                       const struct pergrad_batch_f64 *batch,
                                       pergrad_start start,
                                       double scale,
                                       double *grad,
                                       size_t grad_len,
                                       double *grad_sq,
                                       size_t grad_sq_len,
                                       struct pergrad_error_info *info);

/**
 * The squared norm of each example's gradient of the weight, sum over j and i of G[b,j,i]^2, without
 * storing G.
 *
 * sq_norms [B]: added to with PERGRAD_START_RESUME, so that layers add up; overwritten and never read
 * with PERGRAD_START_FRESH.
 */
pergrad_error pergrad_sq_norms_f32(pergrad_isa isa,
                                   const struct pergrad_batch_f32 *batch,
                                   pergrad_start start,
                                   float *sq_norms,
                                   size_t sq_norms_len,
                                   struct pergrad_error_info *info);

/**
 * As `pergrad_sq_norms_f32()`, in double precision.
 */
pergrad_error pergrad_sq_norms_f64(pergrad_isa isa,
                                   const struct pergrad_batch_f64 *batch,
                                   pergrad_start start,
                                   double *sq_norms,
                                   size_t sq_norms_len,
                                   struct pergrad_error_info *info);

/**
 * The squared norm of each example's gradient of the bias, sum over j of (sum_t c[b] dy[b,t,j])^2.
 *
 * As pergrad_sq_norms_f32(); x of the batch is not looked at.
 */
pergrad_error pergrad_bias_sq_norms_f32(pergrad_isa isa,
                                        const struct pergrad_batch_f32 *batch,
                                        pergrad_start start,
                                        float *sq_norms,
                                        size_t sq_norms_len,
                                        struct pergrad_error_info *info);

/**
 * As `pergrad_bias_sq_norms_f32()`, in double precision.
 */
pergrad_error pergrad_bias_sq_norms_f64(pergrad_isa isa,
                                        const struct pergrad_batch_f64 *batch,
                                        pergrad_start start,
                                        double *sq_norms,
                                        size_t sq_norms_len,
                                        struct pergrad_error_info *info);

/**
 * Whether this machine gives the promised bits: runs every kernel on fixed inputs and compares the
 * SHA-256 of what it writes with the list that holds for every machine. PERGRAD_ERROR_SELF_TEST if
 * one differs; `arg` is the first such kernel.
 *
 * memory: [PERGRAD_SELF_TEST_MEMORY], overwritten. report, unless NULL, is called for each kernel
 * with what it gave and with context.
 */
pergrad_error pergrad_self_test_f32(pergrad_isa isa,
                                    float *memory,
                                    size_t memory_len,
                                    void (*report)(const struct pergrad_check *check,
                                                   void *context),
                                    void *context,
                                    struct pergrad_error_info *info);

/**
 * As `pergrad_self_test_f32()`, in double precision.
 */
pergrad_error pergrad_self_test_f64(pergrad_isa isa,
                                    double *memory,
                                    size_t memory_len,
                                    void (*report)(const struct pergrad_check *check,
                                                   void *context),
                                    void *context,
                                    struct pergrad_error_info *info);

/**
 * One step of momentum on a layer, its gradient never stored: the bits of pergrad_grad_f32() (or
 * pergrad_bias_grad_f32()) followed by pergrad_update_momentum_f32().
 *
 * params: the weight [J, I] or the bias [J], by part, updated in place like the buffer, which is NULL
 * for the plain form.
 */
pergrad_error pergrad_step_momentum_f32(pergrad_isa isa,
                                        const struct pergrad_layer_step_f32 *layer,
                                        pergrad_part part,
                                        const struct pergrad_momentum_coeffs_f32 *coeffs,
                                        float *params,
                                        size_t params_len,
                                        float *momentum_buffer,
                                        size_t momentum_buffer_len,
                                        float *scratch,
                                        size_t scratch_len,
                                        struct pergrad_error_info *info);

/**
 * As `pergrad_step_momentum_f32()`, in double precision.
 */
pergrad_error pergrad_step_momentum_f64(pergrad_isa isa,
                                        const struct pergrad_layer_step_f64 *layer,
                                        pergrad_part part,
                                        const struct pergrad_momentum_coeffs_f64 *coeffs,
                                        double *params,
                                        size_t params_len,
                                        double *momentum_buffer,
                                        size_t momentum_buffer_len,
                                        double *scratch,
                                        size_t scratch_len,
                                        struct pergrad_error_info *info);

/**
 * One step of RMSProp on a layer, its gradients never stored: the bits of pergrad_moments_f32() (or, on
 * the squared average, pergrad_grad_f32(); or their bias forms) followed by
 * pergrad_update_rmsprop_f32().
 *
 * params: the weight [J, I] or the bias [J], by part, updated in place like the state.
 */
pergrad_error pergrad_step_rmsprop_f32(pergrad_isa isa,
                                       const struct pergrad_layer_step_f32 *layer,
                                       pergrad_part part,
                                       const struct pergrad_rmsprop_coeffs_f32 *coeffs,
                                       float *params,
                                       size_t params_len,
                                       const struct pergrad_rmsprop_state_f32 *state,
                                       float *scratch,
                                       size_t scratch_len,
                                       struct pergrad_error_info *info);

/**
 * As `pergrad_step_rmsprop_f32()`, in double precision.
 */
pergrad_error pergrad_step_rmsprop_f64(pergrad_isa isa,
                                       const struct pergrad_layer_step_f64 *layer,
                                       pergrad_part part,
                                       const struct pergrad_rmsprop_coeffs_f64 *coeffs,
                                       double *params,
                                       size_t params_len,
                                       const struct pergrad_rmsprop_state_f64 *state,
                                       double *scratch,
                                       size_t scratch_len,
                                       struct pergrad_error_info *info);

/**
 * One step of Adam or AdamW on a layer, its gradients never stored: the bits of pergrad_moments_f32()
 * (or, on the squared average, pergrad_grad_f32(); or their bias forms) followed by
 * pergrad_update_adam_f32().
 *
 * params: the weight [J, I] or the bias [J], by part, updated in place like the state.
 */
pergrad_error pergrad_step_adam_f32(pergrad_isa isa,
                                    const struct pergrad_layer_step_f32 *layer,
                                    pergrad_part part,
                                    const struct pergrad_adam_coeffs_f32 *coeffs,
                                    float *params,
                                    size_t params_len,
                                    const struct pergrad_adam_state_f32 *state,
                                    float *scratch,
                                    size_t scratch_len,
                                    struct pergrad_error_info *info);

/**
 * As `pergrad_step_adam_f32()`, in double precision.
 */
pergrad_error pergrad_step_adam_f64(pergrad_isa isa,
                                    const struct pergrad_layer_step_f64 *layer,
                                    pergrad_part part,
                                    const struct pergrad_adam_coeffs_f64 *coeffs,
                                    double *params,
                                    size_t params_len,
                                    const struct pergrad_adam_state_f64 *state,
                                    double *scratch,
                                    size_t scratch_len,
                                    struct pergrad_error_info *info);

/**
 * One step of momentum, in place, from a gradient in memory; pergrad_momentum_config has the formula.
 *
 * params, momentum_buffer [n]: updated in place; the buffer is NULL for the plain form. grad [n]: the
 * averaged gradient.
 */
pergrad_error pergrad_update_momentum_f32(pergrad_isa isa,
                                          const struct pergrad_momentum_coeffs_f32 *coeffs,
                                          float *params,
                                          size_t params_len,
                                          const float *grad,
                                          size_t grad_len,
                                          float *momentum_buffer,
                                          size_t momentum_buffer_len,
                                          pergrad_non_finite non_finite,
                                          struct pergrad_error_info *info);

/**
 * As `pergrad_update_momentum_f32()`, in double precision.
 */
pergrad_error pergrad_update_momentum_f64(pergrad_isa isa,
                                          const struct pergrad_momentum_coeffs_f64 *coeffs,
                                          double *params,
                                          size_t params_len,
                                          const double *grad,
                                          size_t grad_len,
                                          double *momentum_buffer,
                                          size_t momentum_buffer_len,
                                          pergrad_non_finite non_finite,
                                          struct pergrad_error_info *info);

/**
 * One step of RMSProp, in place, from a gradient in memory; pergrad_rmsprop_config has the formula.
 *
 * params and state [n]: updated in place. grad [n]: the averaged gradient. second_moment [n]: grad_sq,
 * a variance, or NULL for the square of grad.
 */
pergrad_error pergrad_update_rmsprop_f32(pergrad_isa isa,
                                         const struct pergrad_rmsprop_coeffs_f32 *coeffs,
                                         float *params,
                                         size_t params_len,
                                         const float *grad,
                                         size_t grad_len,
                                         const float *second_moment,
                                         size_t second_moment_len,
                                         const struct pergrad_rmsprop_state_f32 *state,
                                         pergrad_non_finite non_finite,
                                         struct pergrad_error_info *info);

/**
 * As `pergrad_update_rmsprop_f32()`, in double precision.
 */
pergrad_error pergrad_update_rmsprop_f64(pergrad_isa isa,
                                         const struct pergrad_rmsprop_coeffs_f64 *coeffs,
                                         double *params,
                                         size_t params_len,
                                         const double *grad,
                                         size_t grad_len,
                                         const double *second_moment,
                                         size_t second_moment_len,
                                         const struct pergrad_rmsprop_state_f64 *state,
                                         pergrad_non_finite non_finite,
                                         struct pergrad_error_info *info);

/**
 * One step of Adam or AdamW, in place, from a gradient in memory; pergrad_adam_config has the formula.
 *
 * The arguments are those of pergrad_update_rmsprop_f32(), with Adam's state.
 */
pergrad_error pergrad_update_adam_f32(pergrad_isa isa,
                                      const struct pergrad_adam_coeffs_f32 *coeffs,
                                      float *params,
                                      size_t params_len,
                                      const float *grad,
                                      size_t grad_len,
                                      const float *second_moment,
                                      size_t second_moment_len,
                                      const struct pergrad_adam_state_f32 *state,
                                      pergrad_non_finite non_finite,
                                      struct pergrad_error_info *info);

/**
 * As `pergrad_update_adam_f32()`, in double precision.
 */
pergrad_error pergrad_update_adam_f64(pergrad_isa isa,
                                      const struct pergrad_adam_coeffs_f64 *coeffs,
                                      double *params,
                                      size_t params_len,
                                      const double *grad,
                                      size_t grad_len,
                                      const double *second_moment,
                                      size_t second_moment_len,
                                      const struct pergrad_adam_state_f64 *state,
                                      pergrad_non_finite non_finite,
                                      struct pergrad_error_info *info);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* PERGRAD_H */
