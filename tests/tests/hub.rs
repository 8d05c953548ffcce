//! JupyterHub with two accounts of this machine, each in a browser; see `tests/browser/hub.py`. It makes accounts, so it asks to
//! be asked for.

use homework_tests::{chromium, lab, project_root, python, scratch_folder, skip};
use std::io::Write;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// An account that is there as long as this value, with its home.
struct Account(&'static str);

impl Account {
    fn new(name: &'static str) -> Self {
        succeed(Command::new("useradd").args(["--create-home", "--shell", "/bin/bash", name]));
        let account = Account(name);
        let mut chpasswd = Command::new("chpasswd").stdin(Stdio::piped()).spawn().unwrap();
        chpasswd
            .stdin
            .take()
            .unwrap()
            .write_all(format!("{name}:{}\n", account.password()).as_bytes())
            .unwrap();
        assert!(chpasswd.wait().unwrap().success());
        account
    }

    fn password(&self) -> String {
        format!("password-of-{}", self.0)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let _ = Command::new("userdel").args(["--remove", "--force", self.0]).output();
    }
}

/// A hub that ends with the test, and with it all that it has started.
struct Hub(Child);

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn two_users_work_side_by_side() {
    const NAME: &str = "two_users_work_side_by_side";
    if std::env::var_os("LAB_TEST_HUB").is_none() {
        return skip(NAME, "it makes two accounts on this machine, as root: LAB_TEST_HUB=1 asks for it");
    }
    let Some(chromium) = chromium() else {
        return skip(NAME, "needs `chromium` on the path (Debian: apt install chromium)");
    };
    succeed(lab().args(["hub", "--only-install"]));
    let folder = scratch_folder("hub");
    let accounts = [Account::new("lab-test-anna"), Account::new("lab-test-ben")];
    // The next two ports are most likely free too.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let log = std::fs::File::create(folder.join("hub.log")).unwrap();
    let mut command = lab();
    command.args(["hub", "--port"]).arg(port.to_string()).stdout(log.try_clone().unwrap()).stderr(log);
    let _hub = Hub(command.spawn().unwrap());
    let started = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(started.elapsed() < Duration::from_secs(120), "see {}/hub.log", folder.display());
        std::thread::sleep(Duration::from_millis(100));
    }
    let mut users = python();
    users.arg("tests/browser/hub.py").arg(chromium).arg(format!("http://127.0.0.1:{port}")).arg(&folder);
    users.args(accounts.iter().map(|account| format!("{}:{}", account.0, account.password())));
    succeed(users.current_dir(project_root()));
}
