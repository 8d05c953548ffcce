//! Runs with methods of one's own: they are trained, resumed, saved and told apart like those that are built in.

use super::*;
use candle_core::Var;
use candle_core::backprop::GradStore;
use nn::checkpoint::StateDict;
use nn::graph::Graph;
use nn::optim::{
    AdamWConfig, Constant, Cosine, Optimizer, OptimizerChoice, RateSchedule, ScheduleChoice, StepEvery,
};
use nn::prune::{Criterion, Granularity, LayerToPrune, SparsitySchedule};
use nn::quant::{Codebook, Lsq, PerChannel, Quantizer, straight_through};

/// A quantizer of one's own with a learned parameter: the sign, with a scale that is trained.
struct ScaledSign {
    start: f32,
}

impl Quantizer for ScaledSign {
    fn quantize(&self, weight: &Tensor, parameters: &[Tensor]) -> Result<Tensor> {
        Ok(straight_through(weight, &weight.sign()?)?.broadcast_mul(&parameters[0])?)
    }
    fn parameters(&self, _weight: &Tensor) -> Result<Vec<(String, Tensor)>> {
        Ok(vec![("scale".to_owned(), Tensor::new(&[self.start], &Device::Cpu)?)])
    }
    fn description(&self) -> String {
        format!("sign with a learned scale from {}", self.start)
    }
}

/// What a network, a run and its configuration leave if it is undisturbed, and if it is interrupted in every epoch.
fn check_resuming(new: impl Fn() -> TestNet, run: impl Fn(&TestNet, &TrainConfig) -> Result<History>) {
    let folder = tempfile::tempdir().unwrap();
    let [undisturbed, files] = ["undisturbed", "interrupted"]
        .map(|name| RunFiles::of(folder.path().join(format!("{name}.safetensors"))));
    let expected = run(&new(), &config(undisturbed.weights())).unwrap();
    for steps in [1, STEPS_PER_EPOCH, STEPS_PER_EPOCH + 1, 4] {
        let net = TestNet { steps_allowed: steps, ..new() };
        run(&net, &config(files.weights())).unwrap_err();
    }
    let net = new();
    assert_eq!(run(&net, &config(files.weights())).unwrap(), expected);
    assert!(net.steps.get() < EPOCHS * STEPS_PER_EPOCH, "it was resumed");
    assert_eq!(read(files.weights()), read(undisturbed.weights()));
    let [record, undisturbed] = [files, undisturbed].map(|files| RunRecord::load(files.record()).unwrap());
    assert_eq!(record.last_state_sha256, undisturbed.last_state_sha256);
    let (tested, best) = (test(&net, &data()).unwrap(), expected.best().unwrap());
    assert_eq!((tested.accuracy, tested.loss), (best.test_accuracy, best.test_loss), "as it was packed");
}

#[test]
fn a_quantizer_of_ones_own_is_trained_saved_and_resumed() {
    check_resuming(
        || TestNet::quantized(ScaledSign { start: 0.1 }),
        |net, config| train(net, &data(), config),
    );
    let net = TestNet::quantized(ScaledSign { start: 0.1 });
    train(&net, &data(), &TrainConfig { save_to: None, ..config(Path::new("")) }).unwrap();
    let (name, scale) = net.named_parameters().swap_remove(1);
    assert_eq!(name, "conv.weight_scale");
    assert_ne!(scale.to_vec1::<f32>().unwrap(), [0.1], "the scale is trained");
    assert!(net.summary().to_string().contains("sign with a learned scale from 0.1"));
}

#[test]
fn a_network_that_learns_from_another_is_trained_and_resumed() {
    let graph = Graph::new("teacher", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10));
    let teacher = || graph.as_ref().unwrap().clone().build(7, &Device::Cpu).unwrap();
    check_resuming(
        || TestNet::new(None),
        |net, config| {
            let distillation = Some(Distillation::from(teacher())?);
            finetune(net, &data(), &TrainConfig { distillation, ..config.clone() })
        },
    );
}

#[test]
fn the_built_in_quantizers_are_trained_saved_and_resumed() {
    let quantizations: [Quantization; 4] = [
        Lsq { n_bits: 2, per_channel: true }.into(),
        Lsq { n_bits: 3, per_channel: false }.into(),
        Codebook { values: 8 }.into(),
        PerChannel(Ste { n_bits: Some(3), symmetric: true }).into(),
    ];
    for quantization in quantizations {
        let new = || TestNet::quantized(quantization.clone());
        check_resuming(new, |net, config| {
            nn::prune::prune_layers(net, 0.5)?;
            finetune(net, &data(), &TrainConfig { keep_zeros: true, ..config.clone() })
        });
    }
}

#[test]
fn runs_of_other_quantizers_are_other_runs() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder.path().join("net.safetensors"));
    let identity = |start| {
        let net = TestNet { description: Some(String::new()), ..TestNet::quantized(ScaledSign { start }) };
        RunIdentity::of(Procedure::Train, &net, &data(), &config).unwrap().unwrap()
    };
    let differences = identity(0.2).differences(&identity(0.1)).join("; ");
    assert!(differences.contains("sign with a learned scale from 0.1 there"), "{differences}");
}

/// A criterion, a granularity and a schedule of one's own: the weights that shrink, by rows of the kernel, half at
/// once.
struct Shrinking;

impl Criterion for Shrinking {
    fn scores(&self, layer: &LayerToPrune) -> Result<Tensor> {
        Ok((layer.gradient()? * layer.weight)?.neg()?)
    }
    fn needs_gradients(&self) -> bool {
        true
    }
    fn description(&self) -> String {
        "shrinking".to_owned()
    }
}

struct Pairs;

impl Granularity for Pairs {
    fn scores(&self, scores: Vec<f32>, _shape: &[usize]) -> Result<Vec<f32>> {
        Ok(scores.chunks(2).flat_map(|pair| vec![pair.iter().sum(); pair.len()]).collect())
    }
    fn description(&self) -> String {
        "pairs".to_owned()
    }
}

struct HalfAtOnce;

impl SparsitySchedule for HalfAtOnce {
    fn sparsity(&self, epoch: usize, ramp: usize, target: f64) -> f64 {
        if epoch < ramp { target / 2.0 } else { target }
    }
    fn description(&self) -> String {
        "half at once".to_owned()
    }
}

#[test]
fn pruning_of_ones_own_is_trained_saved_and_resumed() {
    let own = Pruning::new(0.5, 2).criterion(Shrinking).granularity(Pairs).schedule(HalfAtOnce);
    for scope in [PruneScope::Layer, PruneScope::Global] {
        let own = own.clone().scope(scope);
        check_resuming(
            || TestNet::new(None),
            |net, config| {
                let history = iterative_prune(net, &data(), config, &own)?;
                let zeros: Vec<f64> = history.epochs.iter().map(|epoch| epoch.sparsity).collect();
                assert!((zeros[1] - 0.5).abs() < 0.02 && zeros[1] == zeros[3], "{zeros:?}");
                let fc: Vec<f32> = net.fc.weight.flatten_all()?.to_vec1()?;
                assert!(fc.chunks(2).all(|pair| (pair[0] == 0.0) == (pair[1] == 0.0)), "{fc:?}");
                Ok(history)
            },
        );
    }
    let procedure = Procedure::of_pruning(&own);
    let method = "shrinking, pairs, per layer, half at once".to_owned();
    assert_eq!(procedure, Procedure::Pruning { method, sparsity: 0.5, ramp: 2 });
}

#[test]
fn gradients_for_a_criterion_leave_the_network_as_it_is() {
    let net = TestNet::new(None);
    let before = sha256_of_state(&state_dict(&net).unwrap());
    let mut trainer =
        Trainer::new(&net, &data(), &TrainConfig { save_to: None, ..config(Path::new("")) }).unwrap();
    trainer.next_epoch();
    let gradients = trainer.gradients(&net).unwrap();
    assert!(gradients.get(&net.conv.weight).is_some());
    assert_eq!(sha256_of_state(&state_dict(&net).unwrap()), before);
}

#[test]
fn the_courses_pruning_is_the_same_run_as_before() {
    let schedule = PruneSchedule { scope: PruneScope::Global, sparsity: 0.8, ramp: 10 };
    let recorded = r#"{"iterative_prune":{"scope":"global","sparsity":0.8,"ramp":10}}"#;
    for pruning in [Pruning::from(schedule), Pruning::new(0.8, 10).scope(PruneScope::Global)] {
        assert_eq!(serde_json::from_str::<Procedure>(recorded).unwrap(), Procedure::of_pruning(&pruning));
        assert_eq!(serde_json::to_string(&Procedure::of_pruning(&pruning)).unwrap(), recorded);
    }
}

/// An optimizer of one's own: steps of the same size, in the direction of a mean of the gradients.
struct SignMomentum {
    parameters: Vec<(String, Var)>,
    means: StateDict,
    learning_rate: f64,
}

impl Optimizer for SignMomentum {
    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        for (name, var) in &self.parameters {
            let Some(gradient) = gradients.get(var) else { continue };
            let mean = match self.means.get(name) {
                Some(mean) => ((mean * 0.9)? + (gradient * 0.1)?)?,
                None => gradient.copy()?,
            };
            var.set(&(var.as_tensor() - (mean.sign()? * self.learning_rate)?)?)?;
            self.means.insert(name.clone(), mean);
        }
        Ok(())
    }
    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }
    fn set_learning_rate(&mut self, learning_rate: f64) {
        self.learning_rate = learning_rate;
    }
    fn state(&self) -> Result<StateDict> {
        Ok(self.means.clone())
    }
    fn set_state(&mut self, state: &StateDict) -> Result<()> {
        self.means = state.clone();
        Ok(())
    }
    fn description(&self) -> String {
        "sign of the mean gradient".to_owned()
    }
}

/// A schedule of one's own: slowly at first.
struct WarmUp;

impl RateSchedule for WarmUp {
    fn factor(&self, epoch: usize, epochs: usize) -> f64 {
        (epoch + 1) as f64 / epochs as f64
    }
    fn description(&self) -> String {
        "warm-up".to_owned()
    }
}

fn sign_momentum() -> OptimizerChoice {
    OptimizerChoice::new(|parameters, rates| SignMomentum {
        parameters,
        means: StateDict::new(),
        learning_rate: rates.learning_rate,
    })
}

#[test]
fn optimizers_and_schedules_are_trained_with_and_resumed() {
    let choices: [(OptimizerChoice, ScheduleChoice); 3] = [
        (sign_momentum(), WarmUp.into()),
        (AdamWConfig::default().into(), Cosine.into()),
        (OptimizerChoice::default(), StepEvery { epochs: 1, factor: 0.5 }.into()),
    ];
    for (optimizer, schedule) in choices {
        check_resuming(
            || TestNet::new(None),
            |net, config| {
                let (optimizer, schedule) = (optimizer.clone(), schedule.clone());
                let config = TrainConfig { learning_rate: 0.01, optimizer, schedule, ..config.clone() };
                let history = train(net, &data(), &config)?;
                let rate = |epoch| config.schedule.schedule().unwrap().factor(epoch, EPOCHS) * 0.01;
                assert!((0..EPOCHS).all(|epoch| history.epochs[epoch].learning_rate == rate(epoch)));
                Ok(history)
            },
        );
    }
}

#[test]
fn runs_of_other_optimizers_and_schedules_are_other_runs() {
    let config = config(Path::new("net.safetensors"));
    let identity = |optimizer, schedule| {
        let config = TrainConfig { optimizer, schedule, ..config.clone() };
        RunIdentity::of(Procedure::Train, &TestNet::new(None), &data(), &config).unwrap().unwrap()
    };
    let usual = identity(OptimizerChoice::default(), ScheduleChoice::default());
    let json = serde_json::to_string(&usual).unwrap();
    assert!(!json.contains("optimizer") && !json.contains("schedule"), "as it always was: {json}");
    assert_eq!(identity(OptimizerChoice::default(), StepDecay.into()), usual, "what it is anyway");
    let differences = |other: &RunIdentity| other.differences(&usual).join("; ");
    let own = identity(sign_momentum(), WarmUp.into());
    let expected =
        "optimizer: absent there, sign of the mean gradient here; schedule: absent there, warm-up here";
    assert_eq!(differences(&own), expected);
    assert!(own.to_string().contains(", sign of the mean gradient, warm-up, seed 0: "), "{own}");
    let adam_w = identity(AdamWConfig::default().into(), Constant.into());
    assert!(differences(&adam_w).contains("AdamW, betas 0.9 and 0.999, eps 1e-8 here"));
    assert!(!own.is(&usual) && !usual.is(&own));
}

#[test]
fn a_state_from_before_there_were_optimizers_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder.path().join("net.safetensors"));
    train(&TestNet::failing_after(STEPS_PER_EPOCH), &data(), &config).unwrap_err();
    let path = RunFiles::of(config.save_to.as_ref().unwrap()).states().remove(0);
    let (state, tensors) = RunState::load(&path).unwrap();
    let rename = |name: &String| name.strip_prefix("optimizer/").unwrap_or(name).to_owned();
    let older: StateDict = tensors.iter().map(|(name, tensor)| (rename(name), tensor.clone())).collect();
    assert!(older.contains_key("velocity/conv.weight"));
    let velocities = [tensors, older].map(|tensors| {
        let (net, config) = (TestNet::new(None), TrainConfig { save_to: None, ..config.clone() });
        let mut trainer = Trainer::new(&net, &data(), &config).unwrap();
        state.clone().restore(&tensors, &net, &mut trainer, &path).unwrap();
        trainer.optimizer_state().unwrap()
    });
    assert_eq!(velocities[0].len(), 5);
    assert_eq!(sha256_of_state(&velocities[0]), sha256_of_state(&velocities[1]));
}
