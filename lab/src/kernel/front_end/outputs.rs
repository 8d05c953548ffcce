//! What cells print and show, on its way from the cells' pipes to Jupyter.

use super::blocks::{Bundle, Operation, Part, Splitter};
use super::history::History;
use super::lock;
use super::text::Text;
use super::wire::Wire;
use crate::kernel::pipes::{Reader, wait_for};
use anyhow::{Context, Result};
use jupyter_protocol::{
    ClearOutput, DisplayData, ExecuteResult, ExecutionCount, JupyterMessage, Media, StreamContent, Transient,
    UpdateDisplayData,
};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Text and updates go at most so often: each message costs the clients more than the text in it.
const PAUSE: Duration = Duration::from_millis(40);

/// More text than this goes at once.
const MUCH: usize = 256 << 10;

/// The cell that outputs belong to.
#[derive(Clone)]
pub struct Cell {
    /// The request to execute it.
    pub request: JupyterMessage,
    /// Its number.
    pub number: usize,
    /// Whether its value is shown.
    pub shows_value: bool,
}

/// The thread that carries outputs.
pub struct Outputs {
    orders: Sender<Order>,
    wake: File,
}

enum Order {
    Begin(Box<Cell>),
    /// All that was printed until now is to be sent.
    Finish(Sender<()>),
    Note(String),
}

impl Outputs {
    /// Carries what comes from these two pipes.
    pub fn carry(output: Reader, error: Reader, wire: Wire, history: Arc<Mutex<History>>) -> Result<Self> {
        let (orders, received) = channel();
        let (wake, woken) = crate::kernel::pipes::waking()?;
        let mut carrier = Carrier {
            wire,
            history,
            cell: None,
            splitter: Splitter::default(),
            streams: Default::default(),
            updates: BTreeMap::new(),
            result: None,
            sent: Instant::now(),
        };
        std::thread::spawn(move || {
            if let Err(error) = carrier.run(output, error, woken, &received) {
                eprintln!("error: {error:#}");
                std::process::exit(1);
            }
        });
        Ok(Outputs { orders, wake })
    }

    /// From now on, outputs belong to this cell.
    pub fn begin(&self, cell: Cell) -> Result<()> {
        self.order(Order::Begin(Box::new(cell)))
    }

    /// Returns when all that the cell has printed is on its way.
    pub fn finish(&self) -> Result<()> {
        let (done, finished) = channel();
        self.order(Order::Finish(done))?;
        finished.recv().context("the outputs are not carried any more")
    }

    /// Says something to the user, as standard error.
    pub fn note(&self, text: &str) -> Result<()> {
        self.order(Order::Note(text.to_owned()))
    }

    fn order(&self, order: Order) -> Result<()> {
        self.orders.send(order).ok().context("the outputs are not carried any more")?;
        (&self.wake).write_all(b"!").context("could not wake the thread of the outputs")
    }
}

#[derive(Clone, Copy)]
enum Stream {
    Output,
    Error,
}

struct Carrier {
    wire: Wire,
    history: Arc<Mutex<History>>,
    cell: Option<Box<Cell>>,
    splitter: Splitter,
    streams: [Text; 2],
    /// The newest content of outputs that change faster than they are sent.
    updates: BTreeMap<String, (Bundle, Bundle)>,
    /// What a cell's value has shown of itself.
    result: Option<Vec<(Bundle, Bundle)>>,
    sent: Instant,
}

impl Carrier {
    fn run(
        &mut self,
        mut output: Reader,
        mut error: Reader,
        mut woken: Reader,
        orders: &Receiver<Order>,
    ) -> Result<()> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let waits = self.streams.iter().any(|text| !text.is_empty()) || !self.updates.is_empty();
            let longest =
                if waits { PAUSE.saturating_sub(self.sent.elapsed()) } else { Duration::from_secs(3600) };
            wait_for(&[&output, &error, &woken], longest)?;
            woken.read(&mut buffer)?;
            // An order comes behind what was printed before it.
            let orders: Vec<Order> = orders.try_iter().collect();
            self.read_all(&mut output, &mut error, &mut buffer)?;
            if self.is_due() {
                self.send_waiting();
            }
            orders.into_iter().for_each(|order| self.obey(order));
        }
    }

    fn read_all(&mut self, output: &mut Reader, error: &mut Reader, buffer: &mut [u8]) -> Result<()> {
        // A process that prints without end does not keep orders waiting.
        for _ in 0..64 {
            let printed = output.read(buffer)?;
            for part in self.splitter.push(&buffer[..printed]) {
                self.take(part);
            }
            let errors = error.read(buffer)?;
            if errors > 0 {
                self.print(Stream::Error, |text, bytes| text.push(bytes), &buffer[..errors]);
            }
            if printed + errors == 0 {
                // A beginning of a block that does not go on is text.
                self.splitter.flush(false).into_iter().for_each(|part| self.take(part));
                break;
            }
        }
        Ok(())
    }

    fn take(&mut self, part: Part) {
        match part {
            Part::Text(bytes) => self.print(Stream::Output, |text, bytes| text.push(bytes), &bytes),
            Part::Output(operation) => self.operate(operation),
        }
    }

    /// Adds to one stream; what waits on the other was printed before.
    fn print(&mut self, stream: Stream, add: impl FnOnce(&mut Text, &[u8]), bytes: &[u8]) {
        self.send_text(match stream {
            Stream::Output => Stream::Error,
            Stream::Error => Stream::Output,
        });
        let text = &mut self.streams[stream as usize];
        add(text, bytes);
        if text.len() > MUCH {
            self.send_text(stream);
        }
    }

    fn is_due(&self) -> bool {
        self.sent.elapsed() >= PAUSE
    }

    fn send_waiting(&mut self) {
        self.send_text(Stream::Output);
        self.send_text(Stream::Error);
        for (name, (data, metadata)) in std::mem::take(&mut self.updates) {
            let transient = Transient { display_id: Some(name) };
            self.publish(UpdateDisplayData { data: media(data), metadata, transient });
        }
    }

    fn send_text(&mut self, stream: Stream) {
        if let Some(text) = self.streams[stream as usize].take() {
            self.publish_text(stream, &text);
        }
    }

    fn publish_text(&mut self, stream: Stream, text: &str) {
        self.publish(match stream {
            Stream::Output => StreamContent::stdout(text),
            Stream::Error => StreamContent::stderr(text),
        });
    }

    fn publish(&mut self, content: impl Into<jupyter_protocol::JupyterMessageContent>) {
        self.sent = Instant::now();
        // What evcxr has run to get ready belongs to no cell.
        if let Some(cell) = &self.cell {
            self.wire.publish(content, Some(&cell.request));
        }
    }

    fn operate(&mut self, operation: Operation) {
        if let Operation::Update { data, metadata, display_id } = operation {
            self.updates.insert(display_id, (data, metadata));
            return;
        }
        self.send_waiting();
        match operation {
            Operation::Display { data, metadata, display_id: None } if self.result.is_some() => {
                self.add_to_result(data, metadata);
            }
            Operation::Display { data, metadata, display_id } => {
                let transient = display_id.map(|name| Transient { display_id: Some(name) });
                self.publish(DisplayData { data: media(data), metadata, transient });
            }
            Operation::Clear { wait } => {
                // What is gone does not count.
                self.streams.iter_mut().for_each(Text::clear);
                self.publish(ClearOutput { wait });
            }
            Operation::BeginResult => self.result = Some(Vec::new()),
            Operation::EndResult => self.show_result(),
            Operation::Update { .. } => {}
        }
    }

    /// Forms of the same thing, printed one by one, are one output.
    fn add_to_result(&mut self, data: Bundle, metadata: Bundle) {
        let result = self.result.get_or_insert_default();
        match result.last_mut() {
            Some((last, _)) if data.keys().all(|form| !last.contains_key(form)) => last.extend(data),
            _ => result.push((data, metadata)),
        }
    }

    /// A cell has one value; what else it shows of itself comes before.
    fn show_result(&mut self) {
        let mut shown = self.result.take().unwrap_or_default();
        let Some((data, metadata)) = shown.pop() else { return };
        for (data, metadata) in shown {
            self.publish(DisplayData { data: media(data), metadata, transient: None });
        }
        if let Some(cell) = self.cell.as_ref().filter(|cell| cell.shows_value) {
            let text = data.get("text/plain").and_then(Value::as_str).unwrap_or_default();
            lock(&self.history).add_value(cell.number, text);
            let execution_count = ExecutionCount::new(cell.number);
            self.publish(ExecuteResult {
                execution_count,
                data: media(data),
                metadata,
                transient: Some(Transient::default()),
            });
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Begin(cell) => {
                self.finish();
                self.cell = Some(cell);
            }
            Order::Finish(done) => {
                self.finish();
                let _ = done.send(());
            }
            Order::Note(text) => {
                self.send_waiting();
                self.publish_text(Stream::Error, &text);
            }
        }
    }

    fn finish(&mut self) {
        self.splitter.flush(true).into_iter().for_each(|part| self.take(part));
        self.send_waiting();
        for stream in [Stream::Output, Stream::Error] {
            if let Some(text) = self.streams[stream as usize].finish() {
                self.publish_text(stream, &text);
            }
        }
        // A value that failed to show itself.
        self.show_result();
    }
}

/// The forms as the protocol has them.
pub fn media(data: Map<String, Value>) -> Media {
    serde_json::from_value(Value::Object(data)).unwrap_or_default()
}
