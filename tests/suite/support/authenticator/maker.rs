//! Who makes security keys: a root, and attestation keys below it.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, DnValue, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// `id-fido-gen-ce-aaguid`.
const MODEL_EXTENSION: [u64; 10] = [1, 3, 6, 1, 4, 1, 45724, 1, 1, 4];

/// An authority for attestation certificates.
pub(crate) struct Maker {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    /// What stands between an attestation certificate and the root.
    between: Vec<Vec<u8>>,
}

/// What a batch of keys has in common: a certificate and its private key.
pub(crate) struct AttestationKey {
    pair: EcdsaKeyPair,
    /// DER; the attestation certificate comes first.
    pub(crate) chain: Vec<Vec<u8>>,
}

impl Maker {
    /// A root of its own.
    pub(crate) fn new() -> Self {
        let (params, key) = (authority("Test Attestation Root"), KeyPair::generate().unwrap());
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem, between: Vec::new() }
    }

    /// An authority below this one.
    pub(crate) fn below(&self) -> Self {
        let params = authority("Test Attestation Intermediate");
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let between = [vec![certificate.der().to_vec()], self.between.clone()].concat();
        Self { issuer: Issuer::new(params, key), pem: self.pem.clone(), between }
    }

    /// The root.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// The extension that names a model, with this content.
    pub(crate) fn model_extension(content: &[u8]) -> CustomExtension {
        CustomExtension::from_oid_content(&MODEL_EXTENSION, content.to_vec())
    }

    /// An attestation key as section 8.2.1 wants it.
    pub(crate) fn key(&self, aaguid: [u8; 16]) -> AttestationKey {
        self.odd_key(aaguid, |_| ())
    }

    /// One whose certificate is not.
    pub(crate) fn odd_key(
        &self,
        aaguid: [u8; 16],
        change: impl FnOnce(&mut CertificateParams),
    ) -> AttestationKey {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let country = DnValue::PrintableString("SE".try_into().unwrap());
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CountryName, country);
        params.distinguished_name.push(DnType::OrganizationName, "Software Keys");
        params.distinguished_name.push(DnType::OrganizationalUnitName, "Authenticator Attestation");
        params.distinguished_name.push(DnType::CommonName, "Software Key Batch 1");
        params.is_ca = IsCa::ExplicitNoCa;
        params.custom_extensions = vec![Self::model_extension(&[&[4, 16][..], &aaguid].concat())];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, &key.serialize_der()).unwrap();
        let chain = [vec![certificate.der().to_vec()], self.between.clone()].concat();
        AttestationKey { pair, chain }
    }
}

impl AttestationKey {
    /// A signature over anything.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        super::es256(&self.pair, message)
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}
