//! What clients ask, and who answers.

use super::button::{Button, Press};
use super::completeness;
use super::history::History;
use super::lock;
use super::outputs::Outputs;
use super::wire::{Requests, Wire};
use crate::kernel::BuildFolder;
use jupyter_protocol::{
    CommClose, CommInfoReply, ExecuteReply, HelpLink, InterruptReply, JupyterMessage,
    JupyterMessageContent as Content, KernelInfoReply, LanguageInfo, ReplyStatus, ShutdownReply, Status,
};
use std::collections::{HashMap, VecDeque};
use std::process::{Child, Command};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// A user who has sent no cell for so long reads what came of the last.
const PAUSE: Duration = Duration::from_millis(300);

/// What all threads of the kernel know.
pub struct Session {
    pub wire: Wire,
    outputs: Arc<Outputs>,
    pub button: Mutex<Button>,
    pub history: Arc<Mutex<History>>,
    cells: Mutex<VecDeque<JupyterMessage>>,
    cell_came: Condvar,
    /// The cell that is executed.
    current: Mutex<Option<JupyterMessage>>,
    lookups: Sender<JupyterMessage>,
    lookups_to_answer: Mutex<Option<Receiver<JupyterMessage>>>,
    inputs: Sender<JupyterMessage>,
    pub inputs_that_came: Mutex<Receiver<JupyterMessage>>,
    /// Whether rust-analyzer knows the helpers' types.
    pub has_learned: AtomicBool,
    /// The process that runs the cells.
    pub process: OnceLock<Arc<Mutex<Child>>>,
}

impl Session {
    pub fn new(
        wire: Wire,
        outputs: Arc<Outputs>,
        history: Arc<Mutex<History>>,
        folder: &BuildFolder,
    ) -> Self {
        let ((lookups, to_answer), (inputs, came)) = (channel(), channel());
        Session {
            wire,
            outputs,
            button: Mutex::new(Button::new(folder.stop_file())),
            history,
            cells: Mutex::default(),
            cell_came: Condvar::new(),
            current: Mutex::default(),
            lookups,
            lookups_to_answer: Mutex::new(Some(to_answer)),
            inputs,
            inputs_that_came: Mutex::new(came),
            has_learned: AtomicBool::new(false),
            process: OnceLock::new(),
        }
    }

    /// Says that the kernel is there.
    pub fn starts(&self) {
        // The compiler is asked before a client waits for the answer.
        std::thread::spawn(rust_version);
        self.wire.publish(Status::starting(), None);
    }

    /// The next cell to execute; waits for one, and calls `pause` once when none has come for a while.
    pub fn next_cell(&self, pause: impl FnOnce()) -> JupyterMessage {
        let cells = lock(&self.cells);
        let none = |cells: &mut VecDeque<JupyterMessage>| cells.is_empty();
        let (cells, waited) =
            self.cell_came.wait_timeout_while(cells, PAUSE, none).unwrap_or_else(PoisonError::into_inner);
        drop(cells);
        if waited.timed_out() {
            pause();
        }
        let cells = lock(&self.cells);
        let mut cells = self.cell_came.wait_while(cells, none).unwrap_or_else(PoisonError::into_inner);
        cells.pop_front().expect("waited for one")
    }

    /// Whether no cell is there.
    pub fn is_idle(&self) -> bool {
        lock(&self.cells).is_empty() && lock(&self.current).is_none()
    }

    /// Completions and inspections; only one thread answers them.
    pub fn lookups(&self) -> Option<Receiver<JupyterMessage>> {
        lock(&self.lookups_to_answer).take()
    }

    /// Answers a request between the busy and the idle status that belong to it.
    pub fn answer(&self, request: &JupyterMessage, answer: impl FnOnce()) {
        self.wire.publish(Status::busy(), Some(request));
        answer();
        self.wire.publish(Status::idle(), Some(request));
        // Clients that show one status for the kernel took it for idle now.
        let current = lock(&self.current);
        if let Some(cell) = current.as_ref() {
            self.wire.publish(Status::busy(), Some(cell));
        }
    }

    /// A cell's execution begins.
    pub fn cell_begins(&self, request: &JupyterMessage) {
        *lock(&self.current) = Some(request.clone());
        lock(&self.button).cell_starts();
        self.wire.publish(Status::busy(), Some(request));
    }

    /// A cell's execution has ended, with this reply.
    pub fn cell_ends(&self, request: &JupyterMessage, reply: ExecuteReply) {
        let mut current = lock(&self.current);
        lock(&self.button).cell_ends();
        *current = None;
        self.wire.reply(reply, request);
        self.wire.publish(Status::idle(), Some(request));
    }

    /// The cells that wait are not executed.
    pub fn abort_waiting(&self) {
        let waiting: Vec<JupyterMessage> = lock(&self.cells).drain(..).collect();
        for request in waiting {
            self.wire.publish(Status::busy(), Some(&request));
            let status = ReplyStatus::Aborted;
            let user_expressions = Some(HashMap::new());
            self.wire.reply(ExecuteReply { status, user_expressions, ..Default::default() }, &request);
            self.wire.publish(Status::idle(), Some(&request));
        }
    }

    fn press_stop(&self) {
        self.abort_waiting();
        // Held while the process is ended, so that it is the one of this cell.
        let mut button = lock(&self.button);
        let done = match button.press(Instant::now()) {
            Press::Idle => Ok(()),
            Press::First => self.outputs.note(
                "A training stops at its next batch.\n\
                 To end whatever else runs here, press again within ten seconds: variables are lost then, functions are not.\n",
            ),
            Press::Second => {
                let _ = self.process.get().map(|process| lock(process).kill());
                Ok(())
            }
        };
        if let Err(error) = done {
            eprintln!("error: {error:#}");
        }
    }

    fn info(&self) -> KernelInfoReply {
        let name = env!("CARGO_PKG_NAME");
        let link = |text: &str, url: &str| HelpLink { text: text.to_owned(), url: url.to_owned() };
        KernelInfoReply {
            status: ReplyStatus::Ok,
            protocol_version: "5.3".to_owned(),
            implementation: name.to_owned(),
            implementation_version: env!("CARGO_PKG_VERSION").to_owned(),
            language_info: LanguageInfo {
                name: "rust".to_owned(),
                version: rust_version().to_owned(),
                mimetype: Some("text/x-rust".to_owned()),
                file_extension: Some(".rs".to_owned()),
                pygments_lexer: Some("rust".to_owned()),
                codemirror_mode: Some(jupyter_protocol::CodeMirrorMode::Simple("rust".to_owned())),
                nbconvert_exporter: Some("script".to_owned()),
            },
            banner: format!(
                "Rust {} with candle and the project's helpers; cells are compiled by evcxr.\n\
                 :help lists the commands, :vars the variables.",
                rust_version()
            ),
            help_links: vec![
                link("The Rust book", "https://doc.rust-lang.org/book/"),
                link("Rust's standard library", "https://doc.rust-lang.org/std/"),
                link("candle", "https://docs.rs/candle-core"),
                link("evcxr", "https://github.com/evcxr/evcxr/blob/main/COMMON.md"),
            ],
            debugger: false,
            error: None,
        }
    }

    fn end(&self, restart: bool, request: &JupyterMessage, on_shell: bool) {
        let reply = || ShutdownReply { restart, status: ReplyStatus::Ok, error: None };
        self.wire.publish(reply(), Some(request));
        if on_shell {
            self.wire.reply(reply(), request);
        } else {
            self.wire.reply_on_control(reply(), request);
        }
        self.wire.publish(Status::idle(), Some(request));
        std::thread::spawn(|| {
            // The reply has a moment to leave.
            std::thread::sleep(Duration::from_millis(50));
            std::process::exit(0);
        });
    }
}

impl Requests for Session {
    fn shell(&self, request: JupyterMessage) {
        match &request.content {
            Content::ExecuteRequest(_) => {
                lock(&self.cells).push_back(request);
                self.cell_came.notify_one();
            }
            Content::CompleteRequest(_) | Content::InspectRequest(_) => drop(self.lookups.send(request)),
            Content::KernelInfoRequest(_) => self.answer(&request, || self.wire.reply(self.info(), &request)),
            Content::IsCompleteRequest(asked) => self.answer(&request, || {
                self.wire.reply(completeness::of(&asked.code), &request);
            }),
            Content::HistoryRequest(asked) => self.answer(&request, || {
                self.wire.reply(lock(&self.history).reply(asked), &request);
            }),
            Content::CommInfoRequest(_) => self.answer(&request, || {
                self.wire.reply(
                    CommInfoReply { status: ReplyStatus::Ok, comms: HashMap::new(), error: None },
                    &request,
                );
            }),
            // No target is known here.
            Content::CommOpen(open) => self.answer(&request, || {
                let close = CommClose { comm_id: open.comm_id.clone(), data: Default::default() };
                self.wire.publish(close, Some(&request));
            }),
            Content::ShutdownRequest(asked) => self.end(asked.restart, &request, true),
            _ => self.answer(&request, || ()),
        }
    }

    fn control(&self, request: JupyterMessage) {
        match &request.content {
            Content::InterruptRequest(_) => {
                self.answer(&request, || {
                    self.press_stop();
                    self.wire.reply_on_control(InterruptReply::new(), &request);
                });
            }
            Content::ShutdownRequest(asked) => self.end(asked.restart, &request, false),
            Content::KernelInfoRequest(_) => self.answer(&request, || {
                self.wire.reply_on_control(self.info(), &request);
            }),
            _ => {}
        }
    }

    fn input(&self, reply: JupyterMessage) {
        drop(self.inputs.send(reply));
    }
}

/// The version of the compiler.
fn rust_version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let output = Command::new("rustc").arg("--version").output().ok();
        let text =
            output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        text.split(' ').nth(1).unwrap_or("of an unknown version").to_owned()
    })
}
