//! SoftHSM in a process of its own, which can be stopped and killed: p11-kit's server as the
//! module's other half.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::bench::MODULE;
use super::*;

const CLIENT: &str = "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so";
const DEADLINE: Duration = Duration::from_millis(500);

/// A p11-kit server that ends with the test.
struct Server(Child);

impl Server {
    fn start(bench: &Bench) -> Self {
        drop(fs::remove_file(bench.socket()));
        let child = Command::new("p11-kit")
            .args(["server", "-f", "--provider", MODULE, "-n"])
            .arg(bench.socket())
            .arg("pkcs11:")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self(child);
        wait_until("listening", || bench.socket().exists());
        server
    }

    /// Signals the server and the processes that it forked, one for each connection: they are
    /// what hangs and dies. Each is signalled by its own id.
    fn signal(&self, name: &str) {
        let server = self.0.id().to_string();
        let path = format!("/proc/{server}/task/{server}/children");
        let forked = fs::read_to_string(path).unwrap_or_default();
        for process in std::iter::once(server.as_str()).chain(forked.split_whitespace()) {
            assert!(Command::new("kill").args([name, process]).status().unwrap().success());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal("-KILL");
        drop(self.0.wait());
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..400 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("after 10 s: not {what}");
}

on_softhsm! {
    fn a_remote_token_may_hang_and_die_and_come_back(bench) {
        let server = Server::start(&bench);
        let settings =
            || Pkcs11Settings { module: CLIENT.into(), ..bench.settings("gold") };
        let key = reference("settlement-eur", 1);
        let public = bench.modules.generate(settings(), &key).unwrap();
        let key = pinned(&key, &public);
        let module = bench.modules.load(settings(), vec![key.clone()]).unwrap();
        let module: Arc<dyn TokenModule> = Arc::new(module);
        let keys = public_keys(&*module, [(key.id.clone(), Purpose::Settlement)]).unwrap();
        let plan = TokenPlan { module, sessions: 2, queue: 4, deadline: DEADLINE, keys };
        let hsm = Hsm::start(vec![plan], Instant::now).unwrap();
        let sign = || {
            let permit = hsm.permit(&key.id).map_err(|refused| refused.to_string())?;
            let answer = hsm.sign(authorization(&key, public.kid(), 1), permit);
            answer.blocking_recv().unwrap().map_err(|failed| failed.to_string())
        };
        sign().unwrap();
        server.signal("-STOP");
        wait_until("stuck", || hsm.status()[0].stuck == 2 && !hsm.status()[0].up);
        assert!(sign().unwrap_err().contains("stuck in a call"), "{:?}", hsm.status());
        server.signal("-CONT");
        wait_until("up", || hsm.status()[0].up);
        wait_until("signing", || sign().is_ok());
        drop(server);
        wait_until("down", || !hsm.status()[0].up);
        let _server = Server::start(&bench);
        wait_until("signing again", || sign().is_ok());
        assert!(hsm.shutdown(Duration::from_secs(5)));
    }
}
