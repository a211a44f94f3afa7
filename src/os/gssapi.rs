//! Kerberos, by the system's own library (GSS-API, RFC 2744), which is opened when a channel logs in by
//! it: the program runs where there is none.
//!
//! Calls that ask a KDC, or the resolver, wait for them and cannot be cut short.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::OnceLock;

/// The library of MIT Kerberos. Others have other shapes behind the same names.
const LIBRARY: &CStr = c"libgssapi_krb5.so.2";

/// What the library calls OM_uint32.
type Word = u32;

/// gss_buffer_desc
#[repr(C)]
struct Buffer {
    length: usize,
    value: *mut c_void,
}

/// gss_OID_desc
#[repr(C)]
struct Oid {
    length: Word,
    elements: *const c_void,
}

/// gss_OID_set_desc
#[repr(C)]
struct OidSet {
    count: usize,
    elements: *const Oid,
}

/// gss_key_value_element_desc
#[repr(C)]
struct Pair {
    key: *const c_char,
    value: *const c_char,
}

/// gss_key_value_set_desc
#[repr(C)]
struct Pairs {
    count: Word,
    elements: *const Pair,
}

/// gss_name_t, gss_cred_id_t and gss_ctx_id_t: nothing is known of what is behind them.
type Handle = *mut c_void;

type ImportName = unsafe extern "C" fn(*mut Word, *const Buffer, *const Oid, *mut Handle) -> Word;
type Release = unsafe extern "C" fn(*mut Word, *mut Handle) -> Word;
type ReleaseBuffer = unsafe extern "C" fn(*mut Word, *mut Buffer) -> Word;
type AcquireFrom = unsafe extern "C" fn(
    *mut Word,
    Handle,
    Word,
    *const OidSet,
    c_int,
    *const Pairs,
    *mut Handle,
    *mut c_void,
    *mut Word,
) -> Word;
type InitContext = unsafe extern "C" fn(
    *mut Word,
    Handle,
    *mut Handle,
    Handle,
    *const Oid,
    Word,
    Word,
    *const c_void,
    *const Buffer,
    *mut c_void,
    *mut Buffer,
    *mut Word,
    *mut Word,
) -> Word;
type DeleteContext = unsafe extern "C" fn(*mut Word, *mut Handle, *mut Buffer) -> Word;
type Wrap = unsafe extern "C" fn(
    *mut Word,
    Handle,
    c_int,
    Word,
    *const Buffer,
    *mut c_int,
    *mut Buffer,
) -> Word;
type Unwrap = unsafe extern "C" fn(
    *mut Word,
    Handle,
    *const Buffer,
    *mut Buffer,
    *mut c_int,
    *mut Word,
) -> Word;
type DisplayStatus =
    unsafe extern "C" fn(*mut Word, Word, c_int, *const Oid, *mut Word, *mut Buffer) -> Word;

/// The functions that are used.
struct Library {
    import_name: ImportName,
    release_name: Release,
    acquire_from: AcquireFrom,
    release_credentials: Release,
    init_context: InitContext,
    delete_context: DeleteContext,
    wrap: Wrap,
    unwrap: Unwrap,
    display_status: DisplayStatus,
    release_buffer: ReleaseBuffer,
}

/// 1.2.840.113554.1.2.2
const KERBEROS: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02";
/// `service@host`, 1.2.840.113554.1.2.1.4
const HOST_SERVICE: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x04";
/// `name@REALM`, 1.2.840.113554.1.2.2.1
const PRINCIPAL: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01";

const CONTINUE_NEEDED: Word = 1;
/// The upper half of a status says whether it is an error.
const ERRORS: Word = 0xffff_0000;
const INITIATE: c_int = 1;
/// The other side proves who it is, what comes twice or out of order is seen, and what is wrapped
/// cannot be changed.
const FLAGS: Word = 2 | 4 | 8 | 32;
const STATUS_OF_GSS: c_int = 1;
const STATUS_OF_MECHANISM: c_int = 2;

impl Library {
    /// Opens it, once.
    fn open() -> Result<&'static Library, String> {
        static OPENED: OnceLock<Result<Library, String>> = OnceLock::new();
        OPENED.get_or_init(Library::load).as_ref().map_err(Clone::clone)
    }

    fn load() -> Result<Library, String> {
        // SAFETY: the name is a C string; what the library does as it is loaded is the system's
        // business. It is never closed.
        let handle = unsafe { libc::dlopen(LIBRARY.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            return Err(format!(
                "Kerberos needs the library {}, which cannot be opened; install it (Debian: \
                 libgssapi-krb5-2; Red Hat: krb5-libs), and take a program that is not static",
                LIBRARY.to_string_lossy()
            ));
        }
        let find = |name: &CStr| {
            // SAFETY: `handle` is open, and the name a C string.
            let found = unsafe { libc::dlsym(handle, name.as_ptr()) };
            if found.is_null() {
                let name = name.to_string_lossy();
                return Err(format!(
                    "{} lacks {name}; install MIT Kerberos 1.11 or later",
                    LIBRARY.to_string_lossy()
                ));
            }
            Ok(found)
        };
        // SAFETY: each symbol is a function of the shape that RFC 2744 and gssapi_ext.h give it, for
        // this version of the library (.so.2).
        unsafe {
            Ok(Library {
                import_name: std::mem::transmute::<Handle, ImportName>(find(c"gss_import_name")?),
                release_name: std::mem::transmute::<Handle, Release>(find(c"gss_release_name")?),
                acquire_from: std::mem::transmute::<Handle, AcquireFrom>(find(
                    c"gss_acquire_cred_from",
                )?),
                release_credentials: std::mem::transmute::<Handle, Release>(find(
                    c"gss_release_cred",
                )?),
                init_context: std::mem::transmute::<Handle, InitContext>(find(
                    c"gss_init_sec_context",
                )?),
                delete_context: std::mem::transmute::<Handle, DeleteContext>(find(
                    c"gss_delete_sec_context",
                )?),
                wrap: std::mem::transmute::<Handle, Wrap>(find(c"gss_wrap")?),
                unwrap: std::mem::transmute::<Handle, Unwrap>(find(c"gss_unwrap")?),
                display_status: std::mem::transmute::<Handle, DisplayStatus>(find(
                    c"gss_display_status",
                )?),
                release_buffer: std::mem::transmute::<Handle, ReleaseBuffer>(find(
                    c"gss_release_buffer",
                )?),
            })
        }
    }

    fn name(&self, text: &str, kind: &[u8]) -> Result<Name, String> {
        let (mut minor, mut name) = (0, ptr::null_mut());
        let (buffer, kind) = (of(text.as_bytes()), oid(kind));
        // SAFETY: text and kind outlive the call, which copies them.
        let major = unsafe { (self.import_name)(&mut minor, &buffer, &kind, &mut name) };
        self.judge(major, minor)?;
        Ok(Name(name))
    }

    /// # Errors
    /// In the library's words.
    fn judge(&self, major: Word, minor: Word) -> Result<(), String> {
        if major & ERRORS == 0 {
            return Ok(());
        }
        let own = self.words(minor, STATUS_OF_MECHANISM);
        Err(if own.is_empty() { self.words(major, STATUS_OF_GSS) } else { own })
    }

    fn words(&self, status: Word, kind: c_int) -> String {
        let (mut minor, mut more, mechanism) = (0, 0, oid(KERBEROS));
        let mut text = empty();
        // SAFETY: everything outlives the call; one message is asked for, and given back.
        let major = unsafe {
            (self.display_status)(&mut minor, status, kind, &mechanism, &mut more, &mut text)
        };
        if major & ERRORS != 0 {
            return format!("status {status:#x}");
        }
        String::from_utf8_lossy(&self.take(text)).into_owned()
    }

    /// What a buffer of the library holds, which is given back.
    fn take(&self, mut buffer: Buffer) -> Vec<u8> {
        let bytes = match buffer.value.is_null() {
            true => Vec::new(),
            // SAFETY: the library has filled so many bytes there.
            false => unsafe {
                std::slice::from_raw_parts(buffer.value.cast::<u8>(), buffer.length).to_vec()
            },
        };
        let mut minor = 0;
        // SAFETY: it is the library's, and nobody uses it after this.
        unsafe { (self.release_buffer)(&mut minor, &mut buffer) };
        bytes
    }
}

/// Of the library; released when it goes.
struct Name(Handle);

impl Drop for Name {
    fn drop(&mut self) {
        if let Ok(library) = Library::open() {
            let mut minor = 0;
            // SAFETY: it is the library's, and nobody uses it after this.
            unsafe { (library.release_name)(&mut minor, &mut self.0) };
        }
    }
}

fn of(bytes: &[u8]) -> Buffer {
    // The library only reads what it is given in such a buffer.
    Buffer { length: bytes.len(), value: bytes.as_ptr().cast_mut().cast() }
}

fn empty() -> Buffer {
    Buffer { length: 0, value: ptr::null_mut() }
}

fn oid(bytes: &[u8]) -> Oid {
    Oid { length: bytes.len() as Word, elements: bytes.as_ptr().cast() }
}

/// A login under way, and what it has agreed on.
pub struct KerberosContext {
    library: &'static Library,
    credentials: Handle,
    context: Handle,
    target: Name,
}

impl KerberosContext {
    /// Begins a login at `service` of `host`. `store`: where tickets come from, by the names of
    /// gss_acquire_cred_from (`client_keytab`, `ccache`). A KDC may be asked, and is waited for.
    ///
    /// # Errors
    /// In the library's words.
    pub fn begin(
        service: &str,
        host: &str,
        principal: Option<&str>,
        store: &[(&str, String)],
    ) -> Result<KerberosContext, String> {
        let library = Library::open()?;
        let target = library.name(&format!("{service}@{host}"), HOST_SERVICE)?;
        let wanted = principal.map(|name| library.name(name, PRINCIPAL)).transpose()?;
        let text = |text: &str| {
            CString::new(text).map_err(|_| "a name or a path holds a zero".to_string())
        };
        let texts: Result<Vec<(CString, CString)>, String> =
            store.iter().map(|(key, value)| Ok((text(key)?, text(value)?))).collect();
        let texts = texts?;
        let pair =
            |(key, value): &(CString, CString)| Pair { key: key.as_ptr(), value: value.as_ptr() };
        let pairs: Vec<Pair> = texts.iter().map(pair).collect();
        let pairs_of = Pairs { count: pairs.len() as Word, elements: pairs.as_ptr() };
        let mechanism = oid(KERBEROS);
        let mechanisms = OidSet { count: 1, elements: &raw const mechanism };
        let mut credentials = ptr::null_mut();
        let mut minor = 0;
        // SAFETY: all that is pointed to outlives the call, which copies what it keeps; where nobody
        // wants to know, null is allowed.
        let major = unsafe {
            (library.acquire_from)(
                &mut minor,
                wanted.as_ref().map_or(ptr::null_mut(), |name| name.0),
                Word::MAX,
                &mechanisms,
                INITIATE,
                &pairs_of,
                &mut credentials,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        library.judge(major, minor)?;
        Ok(KerberosContext { library, credentials, context: ptr::null_mut(), target })
    }

    /// The next token for the other side, and whether both know each other then. A KDC may be asked, and
    /// is waited for.
    ///
    /// # Errors
    /// In the library's words.
    pub fn step(&mut self, token: &[u8]) -> Result<(Vec<u8>, bool), String> {
        let (input, mechanism, mut output) = (of(token), oid(KERBEROS), empty());
        let mut minor = 0;
        // SAFETY: the handles are the library's own; all else outlives the call.
        let major = unsafe {
            (self.library.init_context)(
                &mut minor,
                self.credentials,
                &mut self.context,
                self.target.0,
                &mechanism,
                FLAGS,
                0,
                ptr::null(),
                &input,
                ptr::null_mut(),
                &mut output,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        let token = self.library.take(output);
        self.library.judge(major, minor)?;
        Ok((token, major & CONTINUE_NEEDED == 0))
    }

    /// What the other side has wrapped.
    ///
    /// # Errors
    /// It was changed on the way, or the two sides do not know each other yet.
    pub fn unwrap(&mut self, wrapped: &[u8]) -> Result<Vec<u8>, String> {
        let (input, mut output, mut minor) = (of(wrapped), empty(), 0);
        // SAFETY: the handle is the library's own, which refuses one that is null or not agreed on;
        // all else outlives the call.
        let major = unsafe {
            (self.library.unwrap)(
                &mut minor,
                self.context,
                &input,
                &mut output,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        let plain = self.library.take(output);
        self.library.judge(major, minor)?;
        Ok(plain)
    }

    /// So that it cannot be changed on the way; it can be read.
    ///
    /// # Errors
    /// In the library's words.
    pub fn wrap(&mut self, plain: &[u8]) -> Result<Vec<u8>, String> {
        let (input, mut output, mut minor) = (of(plain), empty(), 0);
        // SAFETY: as in `unwrap`.
        let major = unsafe {
            (self.library.wrap)(
                &mut minor,
                self.context,
                0,
                0,
                &input,
                ptr::null_mut(),
                &mut output,
            )
        };
        let wrapped = self.library.take(output);
        self.library.judge(major, minor)?;
        Ok(wrapped)
    }
}

impl Drop for KerberosContext {
    fn drop(&mut self) {
        let mut minor = 0;
        // SAFETY: both are the library's, or null, and nobody uses them after this.
        unsafe {
            (self.library.delete_context)(&mut minor, &mut self.context, ptr::null_mut());
            (self.library.release_credentials)(&mut minor, &mut self.credentials);
        }
    }
}

/// Where the library finds its realms, in place of /etc/krb5.conf; before the first login.
pub fn use_kerberos_configuration(path: &std::path::Path) {
    // SAFETY: the process has one thread, so that nobody reads the environment meanwhile.
    unsafe { std::env::set_var("KRB5_CONFIG", path) };
}
