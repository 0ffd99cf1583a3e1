//! Certificates for tests, made as they are needed.

/// A certificate authority, and a certificate of each side, as PEM files.
pub(crate) struct Papers {
    folder: tempfile::TempDir,
}

impl Papers {
    pub(crate) fn new() -> Self {
        Self::until(4_096)
    }

    /// Papers whose certificates are good until the first day of a year.
    pub(crate) fn until(year: i32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = authority.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::new(authority, key);
        let put =
            |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
        put("ca.pem", certificate.pem());
        for side in ["meter.example", "client.example"] {
            let key = rcgen::KeyPair::generate().unwrap();
            let mut params = rcgen::CertificateParams::new(vec![side.to_owned()]).unwrap();
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
            put(
                &format!("{side}.pem"),
                params.signed_by(&key, &issuer).unwrap().pem(),
            );
            put(&format!("{side}.key"), key.serialize_pem());
        }
        Self { folder }
    }

    pub(crate) fn at(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }
}
