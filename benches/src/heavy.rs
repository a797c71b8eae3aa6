//! Adam by two frameworks, `candle-nn` (AdamW without decay) and burn (its `ndarray` backend with
//! SIMD, one thread). Their state cannot be set, so they start from zeros, unlike the other
//! contestants of the same case; the work is the same.

use burn_autodiff::Autodiff;
use burn_core::module::{Param, ParamId};
use burn_core::tensor::backend::Backend;
use burn_core::tensor::{Tensor, TensorData};
use burn_ndarray::NdArray;
use burn_optim::adaptor::OptimizerAdaptor;
use burn_optim::{Adam, AdamConfig, GradientsParams, Optimizer as _};
use candle_core::backprop::GradStore;
use candle_core::{Device, Var};
use candle_nn::{AdamW, Optimizer as _, ParamsAdamW};
use pergrad_core::{AdamState, Isa, NonFinite, update_adam};

use crate::buf::{Buf, check_close};
use crate::case::{Case, Group, Work, elements};
use crate::update::{LR, PARAMS, adam_config};

/// Where all start: parameters and gradient, and what pergrad makes of the parameters in a first step.
struct Start {
    params: Buf<f32>,
    grad: Buf<f32>,
    want: Buf<f32>,
}

impl Start {
    fn new(n: usize) -> Self {
        let params = Buf::random(n, 3, -PARAMS, PARAMS);
        let grad = Buf::random(n, 1, -1.0, 1.0);
        let [mut want, mut avg, mut sq] = [(); 3].map(|()| Buf::zeros(n));
        want.copy_from_slice(&params);
        let c = adam_config().step_coeffs(1).expect("valid");
        let state = AdamState::new(&mut avg, &mut sq);
        update_adam(Isa::detect(), &c, &mut want, &grad, None, state, NonFinite::Propagate)
            .expect("lengths fit");
        Start { params, grad, want }
    }
}

/// candle's parameters, their gradient, and the optimizer that owns the state.
struct Candle {
    start: Start,
    var: Var,
    grads: GradStore,
    optimizer: AdamW,
}

impl Candle {
    fn new(start: Start) -> candle_core::Result<Self> {
        let n = start.params.len();
        let var = Var::from_slice(&start.params, n, &Device::Cpu)?;
        let grad = candle_core::Tensor::from_slice(&start.grad, n, &Device::Cpu)?;
        // A store is only made by going backward; this one holds `grad` for `var`.
        let grads = (var.as_tensor() * &grad)?.sum_all()?.backward()?;
        let config = ParamsAdamW { lr: LR, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 };
        let optimizer = AdamW::new(vec![var.clone()], config)?;
        Ok(Candle { start, var, grads, optimizer })
    }
}

impl Work for Candle {
    /// Nothing to do: it is checked after the first step there is.
    fn reset(&mut self) {}

    fn check(&self, who: &str) {
        let got: Vec<f32> = self.var.to_vec1().expect("one axis");
        check_close(who, "params", &got, &self.start.want);
    }
}

type Inner = NdArray<f32>;
type Parameter = Param<Tensor<Autodiff<Inner>, 1>>;

/// The same of burn.
struct Burn {
    start: Start,
    id: ParamId,
    /// Taken by each step, which gives another one back.
    module: Option<Parameter>,
    grad: Tensor<Inner, 1>,
    optimizer: OptimizerAdaptor<Adam, Parameter, Autodiff<Inner>>,
}

impl Burn {
    fn new(start: Start) -> Self {
        let device = <Inner as Backend>::Device::default();
        let data = |values: &[f32]| TensorData::new(values.to_vec(), [values.len()]);
        let id = ParamId::new();
        let params = Tensor::from_data(data(&start.params), &device);
        let grad = Tensor::from_data(data(&start.grad), &device);
        let module = Some(Param::initialized(id, params).set_require_grad(true));
        let optimizer = AdamConfig::new().with_epsilon(1e-8).init();
        Burn { start, id, module, grad, optimizer }
    }

    fn step(&mut self) {
        let mut grads = GradientsParams::new();
        grads.register(self.id, self.grad.clone());
        let module = self.module.take().expect("given back by the last step");
        self.module = Some(self.optimizer.step(LR, module, grads));
    }
}

impl Work for Burn {
    /// Nothing to do: it is checked after the first step there is.
    fn reset(&mut self) {}

    fn check(&self, who: &str) {
        let module = self.module.as_ref().expect("given back by the last step");
        let got = module.val().into_data().to_vec::<f32>().expect("f32");
        check_close(who, "params", &got, &self.start.want);
    }
}

/// Both, on `n` parameters.
pub fn bench_adam(group: &mut Group<'_>, n: usize) {
    elements(group, n);
    let mut case =
        Case::new(format!("f32_{n}"), move || Candle::new(Start::new(n)).expect("on this CPU"));
    case.bench(group, "candle_nn", |c| c.optimizer.step(&c.grads).expect("shapes fit"));
    let mut case = Case::new(format!("f32_{n}"), move || Burn::new(Start::new(n)));
    case.bench(group, "burn", Burn::step);
}
