//! A certificate authority for callers and servers, as short-lived as its test.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};

const DAY: Duration = Duration::from_secs(86_400);

/// An authority and its files.
pub(crate) struct Authority {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// Files of a certificate and its key.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: PathBuf,
    pub(crate) private_key: PathBuf,
    pub(crate) serial: Vec<u8>,
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

impl Authority {
    /// Makes one whose certificate lies in `directory/NAME.pem`.
    pub(crate) fn new(directory: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(directory.join(format!("{name}.pem")), certificate.pem()).unwrap();
        Self { directory: directory.to_owned(), issuer: Issuer::new(params, key) }
    }

    /// A certificate for a server on loopback.
    pub(crate) fn server(&self, name: &str) -> Identity {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(name, params)
    }

    /// A certificate that shows a caller by a URI, valid for so long from now.
    pub(crate) fn caller_for(&self, name: &str, valid: Duration) -> Identity {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let uri = format!("spiffe://test.example/{name}");
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let epoch = date_time_ymd(1970, 1, 1);
        params.not_before = epoch + (since_1970() - DAY);
        params.not_after = epoch + (since_1970() + valid);
        self.issue(name, params)
    }

    /// A certificate that shows a caller and is valid for a day.
    pub(crate) fn caller(&self, name: &str) -> Identity {
        self.caller_for(name, DAY)
    }

    /// A certificate that expired yesterday.
    pub(crate) fn expired_caller(&self, name: &str) -> Identity {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let uri = format!("spiffe://test.example/{name}");
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let epoch = date_time_ymd(1970, 1, 1);
        params.not_before = epoch + (since_1970() - 3 * DAY);
        params.not_after = epoch + (since_1970() - DAY);
        self.issue(&format!("{name}-expired"), params)
    }

    /// Writes the revocation list with these certificates on it.
    pub(crate) fn revoke(&self, file: &Path, revoked: &[&Identity]) {
        let epoch = date_time_ymd(1970, 1, 1);
        let now = epoch + since_1970();
        let params = CertificateRevocationListParams {
            this_update: now - DAY,
            next_update: now + DAY,
            crl_number: SerialNumber::from(u64::try_from(since_1970().as_millis()).unwrap()),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .iter()
                .map(|identity| RevokedCertParams {
                    serial_number: SerialNumber::from_slice(&identity.serial),
                    revocation_time: now - DAY,
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).unwrap();
        let draft = file.with_extension("draft");
        std::fs::write(&draft, list.pem().unwrap()).unwrap();
        std::fs::rename(draft, file).unwrap();
    }

    fn issue(&self, name: &str, mut params: CertificateParams) -> Identity {
        let mut serial = [0_u8; 16];
        getrandom::fill(&mut serial).unwrap();
        serial[0] = 1;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = Identity {
            certificate: self.directory.join(format!("{name}.crt.pem")),
            private_key: self.directory.join(format!("{name}.key.pem")),
            serial: serial.to_vec(),
        };
        std::fs::write(&files.certificate, certificate.pem()).unwrap();
        std::fs::write(&files.private_key, key.serialize_pem()).unwrap();
        files
    }
}
