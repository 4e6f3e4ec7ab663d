//! A directory with two SoftHSM tokens, `gold` and `silver`, and the odd keys that tests need.

use std::path::{Path, PathBuf};
use std::process::Command;

use cryptoki::context::Pkcs11;
use cryptoki::object::{KeyType, ObjectClass};

use super::*;

pub(super) const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
pub(super) const WRONG_PIN: &str = "987651";
const PIN: &str = "123456";
const DIRECTORY: &str = "COUNTERSIGN_TEST_SOFTHSM_DIRECTORY";

/// Tests whose bodies run in a child process with a token directory of their own.
macro_rules! on_softhsm {
    ($(fn $name:ident($bench:ident) $body:block)*) => {$(
        #[test]
        fn $name() {
            match Bench::of_this_process() {
                Some($bench) => $body,
                None => Bench::run_child(concat!(module_path!(), "::", stringify!($name))),
            }
        }
    )*};
}
pub(super) use on_softhsm;

pub(super) struct Bench {
    pub(super) directory: PathBuf,
    pub(super) modules: Modules,
}

impl Bench {
    /// The bench, in a child process.
    pub(super) fn of_this_process() -> Option<Self> {
        let directory = PathBuf::from(std::env::var_os(DIRECTORY)?);
        Some(Self { directory, modules: Modules::default() })
    }

    /// Makes the tokens and runs one test of this binary with them.
    pub(super) fn run_child(test: &str) {
        let directory = tempfile::tempdir().unwrap();
        let bench = Self { directory: directory.path().to_owned(), modules: Modules::default() };
        fs::create_dir(directory.path().join("tokens")).unwrap();
        let tokens = directory.path().join("tokens");
        let conf = format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display());
        fs::write(bench.conf(), conf).unwrap();
        bench.write_pin();
        bench.init_token("gold");
        bench.init_token("silver");
        let (_crate, test) = test.split_once("::").unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env("SOFTHSM2_CONF", bench.conf())
            .env(DIRECTORY, directory.path())
            .env("P11_KIT_SERVER_ADDRESS", format!("unix:path={}", bench.socket().display()))
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&child.stdout);
        let complaint = String::from_utf8_lossy(&child.stderr);
        assert!(child.status.success(), "{test}: {}\n{told}\n{complaint}", child.status);
        assert!(told.contains("1 passed"), "{test} did not run: {told}");
    }

    pub(super) fn init_token(&self, label: &str) {
        let made = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", label, "--so-pin", "12345678"])
            .args(["--pin", PIN])
            .env("SOFTHSM2_CONF", self.conf())
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    }

    fn conf(&self) -> PathBuf {
        self.directory.join("softhsm2.conf")
    }

    /// Where a remote module listens.
    pub(super) fn socket(&self) -> PathBuf {
        self.directory.join("p11-kit.sock")
    }

    pub(super) fn pin_file(&self) -> PathBuf {
        self.directory.join("pin")
    }

    pub(super) fn write_pin(&self) {
        use std::os::unix::fs::PermissionsExt;
        fs::write(self.pin_file(), format!("{PIN}\n")).unwrap();
        let ours = fs::Permissions::from_mode(0o600);
        fs::set_permissions(self.pin_file(), ours).unwrap();
    }

    pub(super) fn settings(&self, token: &str) -> Pkcs11Settings {
        Pkcs11Settings {
            name: token.to_owned(),
            module: Path::new(MODULE).to_owned(),
            token_label: token.to_owned(),
            serial: None,
            pin: PinSource::File(self.pin_file()),
            state_dir: self.directory.clone(),
            takes_turns: true,
        }
    }

    /// Whether the token tells of a refused PIN.
    pub(super) fn pin_count_is_low(&self, label: &str) -> bool {
        let library = self.modules.library(Path::new(MODULE)).unwrap();
        let context = library.context();
        let slots = context.slots().unwrap();
        let mut tokens = slots.iter().map(|slot| context.pkcs11.get_token_info(*slot).unwrap());
        tokens.find(|token| token.label() == label).unwrap().user_pin_count_low()
    }

    /// What a crash of a remote module looks like: every call fails until `C_Initialize`.
    pub(super) fn finalise_behind_our_back(&self) {
        Pkcs11::new(MODULE).unwrap().finalize().unwrap();
    }

    /// What a token is like that was taken out and put in again: sessions, and no login.
    pub(super) fn log_out_behind_our_back(&self) {
        self.session().session().logout().unwrap();
    }

    /// Makes an object on gold.
    pub(super) fn create_object(&self, template: &[Attribute]) {
        self.session().session().create_object(template).unwrap();
    }

    /// How many objects on gold have this label.
    pub(super) fn count_objects(&self, label: &str) -> usize {
        let open = self.session();
        let label = Attribute::Label(label.as_bytes().to_vec());
        open.session().find_objects(&[label]).unwrap().len()
    }

    /// Deletes every object on gold that has this label.
    pub(super) fn delete_object(&self, label: &str) {
        let open = self.session();
        let label = Attribute::Label(label.as_bytes().to_vec());
        for object in open.session().find_objects(&[label]).unwrap() {
            open.session().destroy_object(object).unwrap();
        }
    }

    fn session(&self) -> session::OpenSession {
        let module = self.modules.load(self.settings("gold"), vec![]).unwrap();
        module.access.session(true).unwrap()
    }

    /// Makes a pair that is right but for the attributes given. A pair of the session lives as
    /// long as the session that is returned.
    pub(super) fn make_pair(
        &self,
        key: &KeyReference,
        public: &[Attribute],
        private: &[Attribute],
    ) -> session::OpenSession {
        let open = self.session();
        let public = overridden(public_template(key), public);
        let private = overridden(generate::private_template(key), private);
        let mechanism = curve::generation(key.algorithm);
        open.session().generate_key_pair(&mechanism, &public, &private).unwrap();
        open
    }

    /// Creates a private key from bytes, and a public half beside it.
    pub(super) fn import_private(&self, key: &KeyReference) {
        let mut template = generate::private_template(key);
        template.extend([
            Attribute::Class(ObjectClass::PRIVATE_KEY),
            Attribute::KeyType(KeyType::EC),
            Attribute::EcParams(curve::P256_OID.to_vec()),
            Attribute::Value(vec![7; 32]),
        ]);
        self.session().session().create_object(&template).unwrap();
        self.import_public(key);
    }

    pub(super) fn import_public(&self, key: &KeyReference) {
        let secret = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
        let point = secret.verifying_key().to_sec1_point(false);
        let wrapped = [&[0x04, 0x41], point.as_bytes()].concat();
        let mut template = public_template(key);
        template.extend([
            Attribute::Class(ObjectClass::PUBLIC_KEY),
            Attribute::KeyType(KeyType::EC),
            Attribute::EcPoint(wrapped),
        ]);
        self.session().session().create_object(&template).unwrap();
    }
}

fn public_template(key: &KeyReference) -> Vec<Attribute> {
    generate::public_template(key, curve::parameters(key.algorithm)[0])
}

fn overridden(mut template: Vec<Attribute>, other: &[Attribute]) -> Vec<Attribute> {
    template.retain(|kept| other.iter().all(|o| o.attribute_type() != kept.attribute_type()));
    template.extend_from_slice(other);
    template
}
