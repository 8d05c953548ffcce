//! A run in a notebook: two outputs that change in place.

use super::curves::{self, Batches};
use super::lines::epoch_lines;
use super::{Observer, Plan, Step, bar, rounded};
use crate::History;
use display::table::escape;
use display::{DisplayHandle, MimeBundle, Show, display};
use notebook::plot::Figure;
use std::time::{Duration, Instant};

/// The text changes at most this often.
const TEXT_PAUSE: Duration = Duration::from_millis(250);
/// The figure changes at most this often within an epoch.
const FIGURE_PAUSE: Duration = Duration::from_secs(2);
/// A figure is drawn only after this many times the time that the last one took, so that at most a fiftieth of the run
/// goes into drawing.
const FIGURE_SHARE: u32 = 50;

/// Where the two outputs are.
pub(super) trait Screen: Send {
    fn text(&mut self, text: &Text);
    fn figure(&mut self, figure: &Figure);
}

/// The outputs of the cell that was running when they were first shown.
#[derive(Default)]
pub(super) struct Notebook {
    text: Option<DisplayHandle>,
    figure: Option<DisplayHandle>,
}

impl Screen for Notebook {
    fn text(&mut self, text: &Text) {
        put(&mut self.text, text);
    }

    fn figure(&mut self, figure: &Figure) {
        put(&mut self.figure, figure);
    }
}

/// Shows a value in its place, which is made for the first.
fn put(place: &mut Option<DisplayHandle>, value: &impl Show) {
    match place {
        Some(place) => place.update(value),
        None => *place = Some(display(value)),
    }
}

/// Lines of text.
pub(super) struct Text {
    lines: Vec<String>,
    /// What the epochs have reached, line below line.
    log: Vec<String>,
    /// Whether the run is over, and it can be typeset.
    finished: bool,
}

impl Show for Text {
    fn forms(&self) -> MimeBundle {
        let all: Vec<_> = self.log.iter().chain(&self.lines).map(String::as_str).collect();
        let plain = MimeBundle::plain(all.join("\n"));
        if !self.finished {
            return plain;
        }
        let escaped = |lines: &[String]| lines.iter().map(|line| escape(line)).collect::<Vec<_>>();
        let log = Some(escaped(&self.log).join("\\\n")).filter(|log| !log.is_empty());
        plain.markdown(log.into_iter().chain(escaped(&self.lines)).collect::<Vec<_>>().join("\n\n"))
    }
}

/// Shows where the run is and how its curves grow, and in the end what there is in its history and nothing else.
pub(super) struct Live<S: Screen> {
    plan: Plan,
    screen: S,
    /// What has to be known when the run is finished.
    lasting: Vec<String>,
    /// What is of interest until then.
    passing: Vec<String>,
    batches: Batches,
    history: History,
    text_due: Instant,
    /// When the figure was last drawn, and how long that took.
    drawn: (Instant, Duration),
    /// What was shown as the end: the text, and the curves of how many epochs.
    ended: Option<(Vec<String>, usize)>,
}

impl<S: Screen> Live<S> {
    pub(super) fn new(plan: Plan, screen: S) -> Self {
        let now = Instant::now();
        Self {
            plan,
            screen,
            lasting: Vec::new(),
            passing: Vec::new(),
            batches: Batches::new(plan.steps),
            history: History::default(),
            text_due: now,
            drawn: (now, Duration::ZERO),
            ended: None,
        }
    }

    fn show_running(&mut self, state: String) {
        let lines = std::iter::once(state).chain(self.passing.iter().chain(&self.lasting).cloned());
        self.screen.text(&Text { lines: lines.collect(), log: Vec::new(), finished: false });
        self.text_due = Instant::now() + TEXT_PAUSE;
    }

    /// Draws the curves, if the last drawing was long enough ago.
    fn draw(&mut self, pause: Duration) {
        let (last, cost) = self.drawn;
        let start = Instant::now();
        if start < last + pause.max(FIGURE_SHARE * cost) {
            return;
        }
        if let Some(figure) = curves::growing(&self.history, &self.batches) {
            self.screen.figure(&figure);
        }
        self.drawn = (Instant::now(), start.elapsed());
    }

    fn bar_after(&self, epoch: usize, step: usize) -> String {
        let done = (epoch - 1) * self.plan.steps + step;
        bar(done as f64 / (self.plan.epochs * self.plan.steps).max(1) as f64)
    }

    fn show_end(&mut self, record: Option<&str>) {
        let summary = History { recorded_on: None, ..self.history.clone() }.to_string();
        let lines = std::iter::once(summary).chain(record.map(str::to_owned)).chain(self.lasting.clone());
        let (lines, epochs) = (lines.collect::<Vec<_>>(), self.history.epochs.len());
        let (shown, drawn) = self.ended.take().unwrap_or_default();
        if shown != lines {
            let log = epoch_lines(&self.plan, &self.history);
            self.screen.text(&Text { lines: lines.clone(), log, finished: true });
        }
        if drawn != epochs
            && let Some(figure) = curves::of(&self.history)
        {
            self.screen.figure(&figure);
        }
        self.ended = Some((lines, epochs));
    }
}

impl<S: Screen> Observer for Live<S> {
    fn begin(&mut self) {
        self.show_running(format!("{}  preparing", bar(0.0)));
    }

    fn say(&mut self, line: &str, lasting: bool) {
        if lasting { &mut self.lasting } else { &mut self.passing }.push(line.to_owned());
        self.text_due = Instant::now();
    }

    fn resumed(&mut self, history: &History) {
        self.history = history.clone();
    }

    fn step(&mut self, step: &Step) {
        let Step { epoch, step: number, loss, accuracy, rate, left } = *step;
        self.batches.add(epoch, number, loss, accuracy);
        self.draw(FIGURE_PAUSE);
        if Instant::now() >= self.text_due {
            let (epochs, steps, left) = (self.plan.epochs, self.plan.steps, rounded(left));
            self.show_running(format!(
                "{}  Epoch {epoch}/{epochs}, step {number}/{steps}: loss {loss:.4}, accuracy {accuracy:.4}; \
                 {rate:.0} images/s, {left} left",
                self.bar_after(epoch, number),
            ));
        }
    }

    fn testing(&mut self, epoch: usize, done: usize, total: usize) {
        if Instant::now() >= self.text_due {
            let epochs = self.plan.epochs;
            let bar = self.bar_after(epoch, self.plan.steps);
            self.show_running(format!("{bar}  Epoch {epoch}/{epochs}, tested {done} of {total} images"));
        }
    }

    fn epoch(&mut self, history: &History) {
        self.history = history.clone();
        if history.epochs.len() >= self.plan.epochs {
            self.show_end(None);
        } else {
            self.draw(Duration::ZERO);
        }
    }

    fn end(&mut self, history: &History, record: Option<&str>) {
        self.history = history.clone();
        self.show_end(record);
    }
}

impl<S: Screen> Drop for Live<S> {
    /// A run that ends without a word, by an error say, leaves what it has reached.
    fn drop(&mut self) {
        if self.ended.is_none() {
            self.show_end(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::curves::tests::history;
    use std::sync::{Arc, Mutex};

    /// What the screen has shown.
    #[derive(Clone, Default)]
    struct Shown(Arc<Mutex<Log>>);

    #[derive(Default)]
    struct Log {
        texts: Vec<MimeBundle>,
        figures: Vec<Vec<u8>>,
    }

    impl Screen for Shown {
        fn text(&mut self, text: &Text) {
            self.0.lock().unwrap().texts.push(text.forms());
        }

        fn figure(&mut self, figure: &Figure) {
            self.0.lock().unwrap().figures.push(figure.png().to_vec());
        }
    }

    impl Shown {
        fn texts(&self) -> Vec<String> {
            let plain = |forms: &MimeBundle| forms.get("text/plain").unwrap().to_owned();
            self.0.lock().unwrap().texts.iter().map(plain).collect()
        }

        fn last(&self) -> (MimeBundle, Option<Vec<u8>>) {
            let Log { texts, figures } = &*self.0.lock().unwrap();
            (texts.last().unwrap().clone(), figures.last().cloned())
        }
    }

    fn live(epochs: usize) -> (Live<Shown>, Shown) {
        let shown = Shown::default();
        let plan = Plan { epochs, steps: 1000, log_every_n: 1, log_every_epochs: 1 };
        (Live::new(plan, shown.clone()), shown)
    }

    fn step(epoch: usize, step: usize) -> Step {
        Step { epoch, step, loss: 0.5, accuracy: 0.75, rate: 812.4, left: Duration::from_secs(150) }
    }

    #[test]
    fn a_thousand_steps_a_second_change_the_text_a_few_times() {
        let (mut live, shown) = live(2);
        live.begin();
        let start = Instant::now();
        (1..=1000).for_each(|number| live.step(&step(1, number)));
        let texts = shown.texts();
        assert_eq!(texts[0], "░░░░░░░░░░░░░░░░░░░░   0 %  preparing");
        assert!(texts.len() <= 2 + start.elapsed().as_millis() as usize / 250, "{texts:?}");
        live.say("Continuing", false);
        live.step(&step(2, 500));
        let expected = "███████████████░░░░░  75 %  Epoch 2/2, step 500/1000: loss 0.5000, accuracy 0.7500; \
                        812 images/s, 3 min left\nContinuing";
        assert_eq!(shown.texts().last().unwrap(), expected);
    }

    #[test]
    fn what_stays_is_the_same_for_a_trained_a_resumed_and_a_recorded_run() {
        let record = "Recorded on 2026-11-23 in 1.5 minutes (net_a.json)";
        let recorded = History { recorded_on: Some("2026-11-23".to_owned()), ..history(3) };
        let ends = ["trained", "resumed", "recorded"].map(|run| {
            let (mut live, shown) = live(3);
            live.begin();
            if run != "recorded" {
                let first = if run == "resumed" { 2 } else { 1 };
                live.say("Continuing after another epoch", false);
                live.resumed(&history(first - 1));
                for epoch in first..=3 {
                    (1..=1000).for_each(|number| live.step(&step(epoch, number)));
                    live.testing(epoch, 100, 1000);
                    live.epoch(&history(epoch));
                }
            }
            let whole = if run == "recorded" { recorded.clone() } else { history(3) };
            live.end(&whole, Some(record));
            drop(live);
            shown.last()
        });
        assert_eq!(ends[0], ends[1]);
        assert_eq!(ends[0], ends[2]);
        let (text, figure) = &ends[0];
        let plain = "Epoch 1/3: Test Loss=1.0000, Test acc=0.5000\n\
                     Epoch 2/3: Test Loss=0.5000, Test acc=0.6667\n\
                     Epoch 3/3: Test Loss=0.3333, Test acc=0.7500\n\
                     best test accuracy 0.7500 (epoch 3 of 3), last 0.7500\n\
                     Recorded on 2026-11-23 in 1.5 minutes (net_a.json)";
        assert_eq!(text.get("text/plain"), Some(plain));
        assert!(text.get("text/markdown").unwrap().contains("\n\nRecorded on"));
        assert!(figure.is_some());
    }

    #[test]
    fn a_run_that_fails_leaves_what_it_has_reached() {
        let (mut live, shown) = live(3);
        live.step(&step(1, 1));
        live.epoch(&history(1));
        live.step(&step(2, 1));
        live.say("stopped", true);
        drop(live);
        assert_eq!(
            shown.texts().last().unwrap(),
            "Epoch 1/3: Test Loss=1.0000, Test acc=0.5000\n\
             best test accuracy 0.5000 (epoch 1 of 1), last 0.5000\nstopped"
        );
    }

    #[test]
    fn drawing_takes_a_small_share_of_the_time() {
        let (mut live, shown) = live(1000);
        let start = Instant::now();
        let mut epochs = 0;
        while start.elapsed() < Duration::from_millis(600) {
            epochs += 1;
            live.epoch(&history(epochs.min(20)));
        }
        let (_, cost) = live.drawn;
        let most = 1 + (600 / (u128::from(FIGURE_SHARE) * cost.as_millis().max(1))) as usize;
        assert!(shown.0.lock().unwrap().figures.len() <= most + 1, "{epochs} epochs, {cost:?}");
        println!("a drawing took {cost:?}");
    }
}
