//! Optimizers beside PyTorch's numbers, and one pass beside a chain of tensor operations.

use super::*;
use candle_core::{DType, Device, Var};

fn named(var: &Var) -> Vec<(String, Var)> {
    vec![("w".to_owned(), var.clone())]
}

/// Three steps on the loss `(w · [3, 1]).sum()` from `[1, -2]`, in f64.
fn check_steps(make: impl Fn(Vec<(String, Var)>) -> Box<dyn Optimizer>, expected: [[f64; 2]; 3]) {
    let w = Var::new(&[1f64, -2.0], &Device::Cpu).unwrap();
    let x = Tensor::new(&[3f64, 1.0], &Device::Cpu).unwrap();
    let mut optimizer = make(named(&w));
    for expected in expected {
        optimizer.backward_step(&(w.as_tensor() * &x).unwrap().sum_all().unwrap()).unwrap();
        let found = w.to_vec1::<f64>().unwrap();
        assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-12), "{found:?}");
    }
}

#[test]
fn three_steps_of_sgd_are_pytorchs() {
    // torch.optim.SGD([w], lr=0.1, momentum=0.5, weight_decay=0.2)
    let config = SgdConfig { learning_rate: 0.1, momentum: 0.5, weight_decay: 0.2 };
    let make = |parameters| Box::new(Sgd::new(parameters, config)) as Box<dyn Optimizer>;
    check_steps(make, [[0.68, -2.06], [0.2064, -2.1488], [-0.334528, -2.250224]]);
}

#[test]
fn three_steps_of_adam_w_are_pytorchs() {
    // With a constant gradient, m / sqrt(v) is its sign in every step, after the corrections: a step is
    // w = w (1 - 0.1 * 0.2) - 0.1 g / (|g| + 0.5), as torch.optim.AdamW([w], lr=0.1, weight_decay=0.2, eps=0.5) has it.
    let config = AdamWConfig { eps: 0.5, ..Default::default() };
    let make = |parameters| Box::new(AdamW::new(parameters, config, 0.1, 0.2)) as Box<dyn Optimizer>;
    let (mut w, mut expected) = ([1.0, -2.0], [[0.0; 2]; 3]);
    for step in &mut expected {
        w = [w[0] * 0.98 - 0.1 * 3.0 / 3.5, w[1] * 0.98 - 0.1 * 1.0 / 1.5];
        *step = w;
    }
    check_steps(make, expected);
}

#[test]
fn adam_w_follows_the_formula_where_gradients_change() {
    let (w, mut expected) = (Var::new(&[0.5f64], &Device::Cpu).unwrap(), 0.5f64);
    let mut optimizer = AdamW::new(named(&w), AdamWConfig::default(), 0.1, 0.01);
    let (mut m, mut v) = (0.0, 0.0);
    for (t, x) in [(1, 3.0), (2, -1.0), (3, 0.5), (4, -4.0)] {
        optimizer.backward_step(&(w.as_tensor() * x).unwrap().sum_all().unwrap()).unwrap();
        (m, v) = (0.9 * m + 0.1 * x, 0.999 * v + 0.001 * x * x);
        let (m, v) = (m / (1.0 - 0.9f64.powi(t)), v / (1.0 - 0.999f64.powi(t)));
        expected -= 0.1 * (0.01 * expected + m / (v.sqrt() + 1e-8));
        let found = w.to_vec1::<f64>().unwrap()[0];
        assert!((found - expected).abs() < 1e-12, "step {t}: {found}, not {expected}");
    }
}

/// Gradients and weights of many magnitudes, with zeros of both signs, over several chunks.
fn values(seed: usize, count: usize) -> Tensor {
    let value = |at: usize| match (at * 7 + seed) % 5 {
        0 => 0.0,
        1 => -0.0,
        _ => ((at * 31 + seed * 17) as f32 * 0.37).sin() * 10f32.powi((at % 7) as i32 - 4),
    };
    Tensor::from_vec((0..count).map(value).collect::<Vec<f32>>(), count, &Device::Cpu).unwrap()
}

#[test]
fn one_pass_of_sgd_gives_the_bits_of_the_tensor_operations() {
    let count = 2 * in_place::CHUNK + 3;
    for (momentum, weight_decay) in [(0.875, 1e-4), (0.0, 0.0), (0.9, 5e-4)] {
        let config = SgdConfig { learning_rate: 0.002, momentum, weight_decay };
        let [in_place, by_tensors] = [(); 2].map(|()| Var::from_tensor(&values(1, count)).unwrap());
        let mut sgd = Sgd::new(named(&in_place), config);
        let mut velocity: Option<Tensor> = None;
        for step in 0..4 {
            let gradient = values(step + 2, count);
            let loss = (in_place.as_tensor() * &gradient).unwrap().sum_all().unwrap();
            let gradients = loss.backward().unwrap();
            // The operations as they were before there was one pass.
            let gradient = gradients.get(&in_place).unwrap();
            let direction = (gradient + (by_tensors.as_detached_tensor() * weight_decay).unwrap()).unwrap();
            let next = match velocity {
                Some(velocity) => ((velocity * momentum).unwrap() + direction).unwrap(),
                None => direction,
            };
            let moved = (by_tensors.as_detached_tensor() - (&next * 0.002).unwrap()).unwrap();
            by_tensors.set(&moved).unwrap();
            velocity = Some(next);
            sgd.step(&gradients).unwrap();
            let bits = |var: &Var| -> Vec<u32> {
                var.to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
            };
            assert_eq!(bits(&in_place), bits(&by_tensors), "step {step}, momentum {momentum}");
        }
    }
}

#[test]
fn one_pass_of_adam_w_is_the_tensor_operations() {
    let count = in_place::CHUNK + 5;
    let vars = [DType::F32, DType::F64]
        .map(|dtype| Var::from_tensor(&values(1, count).to_dtype(dtype).unwrap()).unwrap());
    let mut optimizers = vars.each_ref().map(|var| AdamW::new(named(var), AdamWConfig::default(), 0.01, 0.1));
    for step in 0..4 {
        for (var, optimizer) in vars.iter().zip(&mut optimizers) {
            let gradient = values(step + 2, count).to_dtype(var.dtype()).unwrap();
            optimizer.backward_step(&(var.as_tensor() * gradient).unwrap().sum_all().unwrap()).unwrap();
        }
    }
    let [single, double] = vars.map(|var| var.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap());
    let near = |(single, double): (&f64, &f64)| (single - double).abs() <= 1e-5 * double.abs().max(0.01);
    assert!(single.iter().zip(&double).all(near));
}

#[test]
fn a_state_is_all_that_the_next_steps_depend_on() {
    let makers: [OptimizerChoice; 2] = [OptimizerChoice::default(), AdamWConfig::default().into()];
    for choice in makers {
        let loss = |var: &Var, step: usize| (var.as_tensor() * values(step, 100)).unwrap().sum_all().unwrap();
        let var = Var::from_tensor(&values(1, 100)).unwrap();
        let mut optimizer = choice.make(named(&var), SgdConfig::default());
        assert!(optimizer.state().unwrap().is_empty(), "nothing is remembered before the first step");
        (2..5).for_each(|step| optimizer.backward_step(&loss(&var, step)).unwrap());
        let (copy, state) = (Var::from_tensor(&var.copy().unwrap()).unwrap(), optimizer.state().unwrap());
        (5..7).for_each(|step| optimizer.backward_step(&loss(&var, step)).unwrap());
        let mut resumed = choice.make(named(&copy), SgdConfig::default());
        resumed.set_state(&state).unwrap();
        (5..7).for_each(|step| resumed.backward_step(&loss(&copy, step)).unwrap());
        let [var, copy] = [var, copy].map(|var| var.to_vec1::<f32>().unwrap());
        assert_eq!(var, copy, "{choice:?}");
    }
}

#[test]
fn a_gradient_that_is_the_parameter_itself_does_not_stop_the_step() {
    let var = Var::new(&[1f32, 2.0], &Device::Cpu).unwrap();
    let mut gradients = var.as_tensor().sum_all().unwrap().backward().unwrap();
    gradients.insert(&var, var.as_detached_tensor());
    let config = SgdConfig { learning_rate: 0.5, momentum: 0.0, weight_decay: 0.0 };
    Sgd::new(named(&var), config).step(&gradients).unwrap();
    assert_eq!(var.to_vec1::<f32>().unwrap(), [0.5, 1.0]);
}

#[test]
fn schedules_are_pytorchs() {
    let factors =
        |schedule: &dyn RateSchedule| (0..8).map(|epoch| schedule.factor(epoch, 8)).collect::<Vec<_>>();
    assert_eq!(factors(&Constant), [1.0; 8]);
    assert_eq!(factors(&StepDecay), [1.0, 1.0, 1.0, 1.0, 0.1, 0.1, 0.01, 0.01]);
    assert_eq!(factors(&StepEvery { epochs: 3, factor: 0.5 }), [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25]);
    let cosine = factors(&Cosine);
    assert!(cosine[0] == 1.0 && (cosine[4] - 0.5).abs() < 1e-12 && cosine[7] < 0.04);
}
