# OpenSSL, the very library that Python's _ssl module calls, by dlsym: no header, no link, no version to build for.
#
# find_openssl looks the functions up and says what speaks against calling them.  A *wire* is where one connection's
# ciphertext comes from and goes to: a BIO of our own that reads straight from memory that the caller lends and writes
# into a buffer that the caller sends from.  The callbacks run inside OpenSSL, with or without the GIL (_ssl releases
# it), so they touch nothing but their own wire and malloc.
#
# locate_ssl finds the SSL* inside a _ssl._SSLSocket.  Its layout is nobody's promise (it has changed three times from
# 3.11 to 3.15), so nothing is assumed of it: the two BIO* of the MemoryBIOs that it was made with stand side by side in
# the SSL structure, and a word of the object that leads to them is the pointer.  What is no pointer is found out by the
# kernel, which refuses to write such memory into a pipe where a plain read would crash.
from libc.stdint cimport uint64_t

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <Python.h>
    #include <dlfcn.h>
    #include <errno.h>
    #include <stdint.h>
    #include <stdlib.h>
    #include <string.h>
    #include <unistd.h>
    #include <fcntl.h>
    #ifdef __linux__
    #include <sys/syscall.h>
    #endif

    /* Where in the stream of records a reader is, and how many more may begin: what is read never goes beyond the end
       of a record's head or body, so whoever hands out pieces can stop between two records. */
    typedef struct {
        uint32_t left;       /* bytes until the body ends */
        uint8_t head;        /* bytes of the head that were read: 0 to 5 */
        uint8_t high;        /* of the length */
        uint32_t idle;       /* records that began since the reader got data */
        uint32_t most_idle;  /* so many may; 0: any number */
        uint32_t budget;     /* so many may begin before somebody gives more */
    } clearloop_records;

    /* Whether as many have begun without data as may. */
    static int clearloop_flooded(const clearloop_records *records) {
        return records->most_idle && records->idle >= records->most_idle;
    }

    /* How many of the `size` bytes at `data` come next; 0 when no further record may begin now. */
    static size_t clearloop_next_piece(clearloop_records *records, const char *data, size_t size) {
        if (records->head < 5) {
            size_t used = 0;
            if (records->head == 0) {
                if (records->budget == 0 || clearloop_flooded(records)) return 0;
                records->budget--;
                records->idle++;
            }
            for (; used < size && records->head < 5; used++, records->head++) {
                if (records->head == 3) records->high = (uint8_t) data[used];
                if (records->head == 4) records->left = (uint32_t) records->high << 8 | (uint8_t) data[used];
            }
            if (records->head == 5 && records->left == 0) records->head = 0;
            return used;
        }
        if (size > records->left) size = records->left;
        records->left -= (uint32_t) size;
        if (records->left == 0) records->head = 0;
        return size;
    }

    typedef struct {
        const char *in;      /* lent, or the same as kept + something */
        size_t in_size;
        char *kept;          /* a copy of what was lent and not consumed, or NULL */
        char *out;           /* ciphertext to send, or NULL */
        size_t out_start, out_end, out_capacity;
        int out_of_memory;
        clearloop_records records;
    } clearloop_wire;

    static struct {
        /* libssl */
        void *(*SSL_get_SSL_CTX)(const void *);
        void *(*SSL_get_rbio)(const void *);
        void *(*SSL_get_wbio)(const void *);
        void (*SSL_set_bio)(void *, void *, void *);
        int (*SSL_read_ex)(void *, void *, size_t, size_t *);
        int (*SSL_write_ex)(void *, const void *, size_t, size_t *);
        int (*SSL_shutdown)(void *);
        void (*SSL_set_shutdown)(void *, int);
        int (*SSL_get_shutdown)(const void *);
        int (*SSL_get_error)(const void *, int);
        long (*SSL_ctrl)(void *, int, long, void *);
        void *(*SSL_CTX_get_keylog_callback)(const void *);
        /* libcrypto */
        unsigned long (*ERR_peek_error)(void);
        void (*ERR_clear_error)(void);
        const char *(*OpenSSL_version)(int);
        int (*BIO_get_new_index)(void);
        void *(*BIO_meth_new)(int, const char *);
        int (*BIO_meth_set_write_ex)(void *, int (*)(void *, const char *, size_t, size_t *));
        int (*BIO_meth_set_read_ex)(void *, int (*)(void *, char *, size_t, size_t *));
        int (*BIO_meth_set_ctrl)(void *, long (*)(void *, int, long, void *));
        int (*BIO_meth_set_create)(void *, int (*)(void *));
        void *(*BIO_new)(const void *);
        int (*BIO_up_ref)(void *);
        int (*BIO_free)(void *);
        void (*BIO_set_data)(void *, void *);
        void *(*BIO_get_data)(void *);
        void (*BIO_set_init)(void *, int);
        void (*BIO_set_flags)(void *, int);
        void (*BIO_clear_flags)(void *, int);
        /* not needed */
        int (*SSL_version)(const void *);
        int (*EVP_PKEY_set_type)(void *, int);
        void (*EVP_PKEY_free)(void *);
    } openssl;
    static void *clearloop_wire_method = NULL;
    static void *clearloop_libssl = NULL;  /* where that library begins */

    /* ---- finding the functions ------------------------------------------------------------------------------- */

    #define CLEARLOOP_LIBSSL 12  /* so many of the names below are libssl's */
    static const struct { const char *name; void *place; } clearloop_openssl_names[] = {
    #define CLEARLOOP_NAME(name) {#name, (void *) &openssl.name}
        CLEARLOOP_NAME(SSL_get_SSL_CTX), CLEARLOOP_NAME(SSL_get_rbio), CLEARLOOP_NAME(SSL_get_wbio),
        CLEARLOOP_NAME(SSL_set_bio), CLEARLOOP_NAME(SSL_read_ex),
        CLEARLOOP_NAME(SSL_write_ex), CLEARLOOP_NAME(SSL_set_shutdown), CLEARLOOP_NAME(SSL_shutdown),
        CLEARLOOP_NAME(SSL_get_shutdown), CLEARLOOP_NAME(SSL_get_error),
        CLEARLOOP_NAME(SSL_ctrl), CLEARLOOP_NAME(SSL_CTX_get_keylog_callback),
        CLEARLOOP_NAME(ERR_peek_error), CLEARLOOP_NAME(ERR_clear_error), CLEARLOOP_NAME(OpenSSL_version),
        CLEARLOOP_NAME(BIO_get_new_index), CLEARLOOP_NAME(BIO_meth_new), CLEARLOOP_NAME(BIO_meth_set_write_ex),
        CLEARLOOP_NAME(BIO_meth_set_read_ex), CLEARLOOP_NAME(BIO_meth_set_ctrl), CLEARLOOP_NAME(BIO_meth_set_create),
        CLEARLOOP_NAME(BIO_new), CLEARLOOP_NAME(BIO_up_ref), CLEARLOOP_NAME(BIO_free), CLEARLOOP_NAME(BIO_set_data),
        CLEARLOOP_NAME(BIO_get_data), CLEARLOOP_NAME(BIO_set_init), CLEARLOOP_NAME(BIO_set_flags),
        CLEARLOOP_NAME(BIO_clear_flags),
    };
    static const struct { const char *name; void *place; } clearloop_openssl_extras[] = {
        CLEARLOOP_NAME(SSL_version), CLEARLOOP_NAME(EVP_PKEY_set_type), CLEARLOOP_NAME(EVP_PKEY_free),
    };
    #define CLEARLOOP_NAMES ((int) (sizeof clearloop_openssl_names / sizeof clearloop_openssl_names[0]))

    static int clearloop_make_method(void);

    /* `extension`: the file of the loaded _ssl module, or NULL when it is built into the interpreter; `version`: what
       that module says of its library.  NULL, or why OpenSSL is better not called. */
    static const char *clearloop_find_openssl(const char *extension, const char *version) {
    #ifdef Py_GIL_DISABLED
        return "a Python without the GIL";
    #else
        void *base[2] = {NULL, NULL};
        void *handle = dlopen(extension, RTLD_LAZY | RTLD_NOLOAD);
        if (handle == NULL) return "the _ssl module is not where it says";
        for (int i = 0; i < CLEARLOOP_NAMES; i++) {
            /* searches _ssl and what it was linked with, in the order in which the linker did */
            void *found = dlsym(handle, clearloop_openssl_names[i].name);
            void *elsewhere = dlsym(RTLD_DEFAULT, clearloop_openssl_names[i].name);
            Dl_info where;
            if (found == NULL) return "OpenSSL's functions cannot be found by name: linked statically, or too old";
            /* a library in the global scope comes before _ssl's own: which one _ssl calls is not certain then */
            if (elsewhere != NULL && elsewhere != found) return "another OpenSSL stands in front of _ssl's";
            if (!dladdr(found, &where)) return "a function of OpenSSL that lies in no library";
            void **library = &base[i >= CLEARLOOP_LIBSSL];
            if (*library == NULL) *library = where.dli_fbase;
            if (*library != where.dli_fbase) return "OpenSSL's functions lie in several libraries";
            *(void **) clearloop_openssl_names[i].place = found;
        }
        clearloop_libssl = base[0];
        for (int i = 0; i < 3; i++) {
            *(void **) clearloop_openssl_extras[i].place = dlsym(handle, clearloop_openssl_extras[i].name);
        }
        /* the handle is kept: it holds the libraries */
        if (strncmp(version, "OpenSSL ", 8) != 0) return "not OpenSSL, but a relative";
        if (strcmp(openssl.OpenSSL_version(0), version) != 0) return "another OpenSSL than _ssl's";
        if (!clearloop_make_method()) return "OpenSSL takes no BIO method";
        return NULL;
    #endif
    }

    /* ---- the wire -------------------------------------------------------------------------------------------- */

    #define CLEARLOOP_BIO_READ_RETRY 0x09   /* BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY */
    #define CLEARLOOP_BIO_ANY_RETRY 0x0F
    #define CLEARLOOP_BIO_CTRL_FLUSH 11
    #define CLEARLOOP_SSL_CTRL_MODE 33

    static int clearloop_wire_read(void *bio, char *buffer, size_t size, size_t *count) {
        clearloop_wire *wire = openssl.BIO_get_data(bio);
        openssl.BIO_clear_flags(bio, CLEARLOOP_BIO_ANY_RETRY);
        *count = 0;
        if (wire == NULL) return 0;  /* its session is gone: the end of the stream */
        if (size > wire->in_size) size = wire->in_size;
        if (size) size = clearloop_next_piece(&wire->records, wire->in, size);
        if (size == 0) {
            openssl.BIO_set_flags(bio, CLEARLOOP_BIO_READ_RETRY);
            return 0;
        }
        memcpy(buffer, wire->in, size);
        wire->in += size;
        wire->in_size -= size;
        *count = size;
        return 1;
    }

    static int clearloop_wire_write(void *bio, const char *data, size_t size, size_t *count) {
        clearloop_wire *wire = openssl.BIO_get_data(bio);
        openssl.BIO_clear_flags(bio, CLEARLOOP_BIO_ANY_RETRY);
        *count = 0;
        if (wire == NULL) return 0;
        if (size > wire->out_capacity - wire->out_end) {
            size_t held = wire->out_end - wire->out_start, capacity = wire->out_capacity;
            if (wire->out_start) {
                memmove(wire->out, wire->out + wire->out_start, held);
                wire->out_start = 0;
                wire->out_end = held;
            }
            while (capacity - held < size) capacity = capacity ? 2 * capacity : 4096;
            if (capacity != wire->out_capacity) {
                char *larger = realloc(wire->out, capacity);
                if (larger == NULL) {
                    wire->out_of_memory = 1;
                    return 0;
                }
                wire->out = larger;
                wire->out_capacity = capacity;
            }
        }
        memcpy(wire->out + wire->out_end, data, size);
        wire->out_end += size;
        *count = size;
        return 1;
    }

    static long clearloop_wire_ctrl(void *bio, int command, long number, void *pointer) {
        return command == CLEARLOOP_BIO_CTRL_FLUSH;
    }

    static int clearloop_wire_create(void *bio) {
        openssl.BIO_set_init(bio, 1);
        return 1;
    }

    static int clearloop_make_method(void) {
        void *method;
        if (clearloop_wire_method != NULL) return 1;
        method = openssl.BIO_meth_new(openssl.BIO_get_new_index() | 0x0400 /* BIO_TYPE_SOURCE_SINK */, "clearloop");
        if (method == NULL || !openssl.BIO_meth_set_write_ex(method, clearloop_wire_write) ||
            !openssl.BIO_meth_set_read_ex(method, clearloop_wire_read) ||
            !openssl.BIO_meth_set_ctrl(method, clearloop_wire_ctrl) ||
            !openssl.BIO_meth_set_create(method, clearloop_wire_create)) {
            return 0;
        }
        clearloop_wire_method = method;  /* for good: an SSL may outlive whoever made it */
        return 1;
    }

    /* Lets the connection read from and write to `wire`; the BIO, of which the caller owns one reference, or NULL. */
    static void *clearloop_connect_wire(void *ssl, clearloop_wire *wire) {
        void *bio = openssl.BIO_new(clearloop_wire_method);
        if (bio == NULL) return NULL;
        openssl.BIO_set_data(bio, wire);
        openssl.BIO_up_ref(bio);         /* one reference is ours, one the connection's, for both directions */
        openssl.SSL_set_bio(ssl, bio, bio);
        return bio;
    }

    /* The wire goes away; the connection may outlive it. */
    static void clearloop_cut_wire(void *bio) {
        openssl.BIO_set_data(bio, NULL);
        openssl.BIO_free(bio);
    }

    /* ---- finding the SSL* ------------------------------------------------------------------------------------ */

    #define CLEARLOOP_WORD sizeof(void *)
    #define CLEARLOOP_LARGEST_OBJECT 512
    #define CLEARLOOP_SEEN 256  /* bytes of the SSL structure in which its two BIOs are looked for */

    /* Copies up to `size` bytes at `place`, which may be anything, into `copy`; how many could be read. */
    static ssize_t clearloop_peek(int pipe_in, int pipe_out, const void *place, char *copy, size_t size) {
        ssize_t count;
    #ifdef __linux__
        count = syscall(SYS_write, pipe_out, place, size);  /* a sanitizer would take write() at its word */
    #else
        count = write(pipe_out, place, size);
    #endif
        return count <= 0 ? 0 : read(pipe_in, copy, (size_t) count);
    }

    static size_t clearloop_object_size(PyObject *o) {
        Py_ssize_t size = Py_TYPE(o)->tp_basicsize;
        return size < (Py_ssize_t) sizeof(PyObject) || size > CLEARLOOP_LARGEST_OBJECT ? 0 : (size_t) size;
    }

    static void *clearloop_word(PyObject *o, size_t offset) {
        void *word;
        memcpy(&word, (char *) o + offset, CLEARLOOP_WORD);
        return word;
    }

    /* Whether an SSL, of which `count` bytes are seen, was made by the library that we call: its table of methods lies
       there.  A _ssl with an OpenSSL inside, and the same version beside it for everybody, are else not told apart. */
    static int clearloop_is_of_libssl(const char *seen, ssize_t count) {
        for (ssize_t at = 0; at + (ssize_t) CLEARLOOP_WORD <= count; at += CLEARLOOP_WORD) {
            void *word;
            Dl_info where;
            memcpy(&word, seen + at, CLEARLOOP_WORD);
            if (word != NULL && dladdr(word, &where) && where.dli_fbase == clearloop_libssl) return 1;
        }
        return 0;
    }

    /* Where in a _SSLSocket the SSL* stands, and in MemoryBIO and _SSLContext the BIO* and the SSL_CTX*. */
    typedef struct { size_t ssl, bio, context; } clearloop_layout;

    /* NULL, or what is wrong. */
    static const char *clearloop_find_layout(PyObject *socket, PyObject *incoming, PyObject *outgoing,
                                             PyObject *context, clearloop_layout *layout) {
        size_t head = sizeof(PyObject), sockets = clearloop_object_size(socket), bios = clearloop_object_size(incoming);
        size_t contexts = clearloop_object_size(context);
        ssize_t nearest = CLEARLOOP_SEEN;
        int own = 0, ends[2];
        if (sockets == 0 || bios == 0 || contexts == 0 || Py_TYPE(incoming) != Py_TYPE(outgoing) || incoming == outgoing) {
            return "objects of unexpected sizes";
        }
        if (pipe(ends) < 0) return "no pipe to look through";
        for (size_t at = head; at + CLEARLOOP_WORD <= sockets; at += CLEARLOOP_WORD) {
            char seen[CLEARLOOP_SEEN];
            void *candidate = clearloop_word(socket, at);
            ssize_t count;
            if (candidate == NULL || (uintptr_t) candidate % CLEARLOOP_WORD) continue;
            count = clearloop_peek(ends[0], ends[1], candidate, seen, sizeof seen);
            for (ssize_t in = 0; in + 2 * (ssize_t) CLEARLOOP_WORD <= count; in += CLEARLOOP_WORD) {
                for (size_t bio = head; bio + CLEARLOOP_WORD <= bios; bio += CLEARLOOP_WORD) {
                    void *both[2] = {clearloop_word(incoming, bio), clearloop_word(outgoing, bio)};
                    if (both[0] == NULL || both[1] == NULL || both[0] == both[1]) continue;
                    if (memcmp(seen + in, both, sizeof both) != 0) continue;
                    if (in >= nearest) continue;  /* something that lies in front of the structure */
                    nearest = in;
                    own = clearloop_is_of_libssl(seen, count);
                    layout->ssl = at;
                    layout->bio = bio;
                }
            }
        }
        close(ends[0]);
        close(ends[1]);
        if (nearest == CLEARLOOP_SEEN) return "an _SSLSocket without a visible SSL";
        if (!own) return "an SSL of another OpenSSL";
        {
            void *owner = openssl.SSL_get_SSL_CTX(clearloop_word(socket, layout->ssl));
            for (size_t at = head; at + CLEARLOOP_WORD <= contexts; at += CLEARLOOP_WORD) {
                if (owner != NULL && clearloop_word(context, at) == owner) {
                    layout->context = at;
                    return NULL;
                }
            }
        }
        return "an SSL of another context";
    }

    /* The SSL*, by a layout that was found; NULL when anything is not as it was. */
    static void *clearloop_ssl_of(PyObject *socket, PyObject *incoming, PyObject *outgoing, PyObject *context,
                                  const clearloop_layout *layout) {
        void *ssl = layout->ssl ? clearloop_word(socket, layout->ssl) : NULL;
        if (ssl == NULL || openssl.SSL_get_rbio(ssl) != clearloop_word(incoming, layout->bio) ||
            openssl.SSL_get_wbio(ssl) != clearloop_word(outgoing, layout->bio) ||
            openssl.SSL_get_SSL_CTX(ssl) != clearloop_word(context, layout->context)) {
            return NULL;
        }
        return ssl;
    }

    #define clearloop_ssl_read openssl.SSL_read_ex
    #define clearloop_ssl_write openssl.SSL_write_ex
    #define clearloop_ssl_shutdown openssl.SSL_shutdown
    #define clearloop_ssl_get_shutdown openssl.SSL_get_shutdown
    #define clearloop_ssl_set_shutdown openssl.SSL_set_shutdown
    #define clearloop_ssl_get_error openssl.SSL_get_error
    #define clearloop_ssl_set_mode(ssl, mode) openssl.SSL_ctrl(ssl, CLEARLOOP_SSL_CTRL_MODE, mode, NULL)

    static void clearloop_forget_errors(void) {
        if (openssl.ERR_peek_error() != 0) openssl.ERR_clear_error();
    }

    /* TLS 1.3, the handshake is complete: empties the peer's half of the key exchange, which nothing but
       SSL_get_peer_tmp_key would look at again.  With ML-KEM it is a fifth of what OpenSSL keeps for a connection. */
    static void clearloop_forget_key_share(void *ssl) {
        void *key = NULL;
        if (openssl.SSL_version == NULL || openssl.EVP_PKEY_set_type == NULL || openssl.EVP_PKEY_free == NULL ||
            openssl.SSL_version(ssl) != 0x0304 ||
            openssl.SSL_ctrl(ssl, 109 /* SSL_CTRL_GET_PEER_TMP_KEY */, 0, &key) != 1 || key == NULL) {
            clearloop_forget_errors();
            return;
        }
        openssl.EVP_PKEY_set_type(key, 1034 /* X25519: an empty key */);
        openssl.EVP_PKEY_free(key);
        clearloop_forget_errors();
    }

    static int clearloop_logs_keys(void *ssl) {
        return openssl.SSL_CTX_get_keylog_callback(openssl.SSL_get_SSL_CTX(ssl)) != NULL;
    }
    """
    ctypedef struct Records "clearloop_records":
        unsigned int idle
        unsigned int most_idle
        unsigned int budget
    ctypedef struct Wire "clearloop_wire":
        const char* lent "in"
        size_t lent_size "in_size"
        char* kept
        char* out
        size_t out_start
        size_t out_end
        size_t out_capacity
        bint out_of_memory
        Records records
    ctypedef struct Layout "clearloop_layout":
        size_t ssl
        size_t bio
        size_t context

    const char* find_openssl "clearloop_find_openssl"(const char* extension, const char* version)
    const char* find_layout "clearloop_find_layout"(
        object socket, object incoming, object outgoing, object context, Layout* layout)
    void* ssl_of "clearloop_ssl_of"(
        object socket, object incoming, object outgoing, object context, const Layout* layout)
    bint logs_keys "clearloop_logs_keys"(void* ssl)

    bint flooded "clearloop_flooded"(const Records* records)
    size_t next_piece "clearloop_next_piece"(Records* records, const char* data, size_t size)
    void* connect_wire "clearloop_connect_wire"(void* ssl, Wire* wire)  # NULL: out of memory
    void cut_wire "clearloop_cut_wire"(void* bio)

    void forget_errors "clearloop_forget_errors"()
    void forget_key_share "clearloop_forget_key_share"(void* ssl)
    int SSL_read "clearloop_ssl_read"(void* ssl, void* buffer, size_t size, size_t* count)
    int SSL_write "clearloop_ssl_write"(void* ssl, const void* data, size_t size, size_t* count)
    int SSL_shutdown "clearloop_ssl_shutdown"(void* ssl)
    int SSL_get_shutdown "clearloop_ssl_get_shutdown"(void* ssl)
    void SSL_set_shutdown "clearloop_ssl_set_shutdown"(void* ssl, int what)
    int SSL_get_error "clearloop_ssl_get_error"(void* ssl, int result)
    long SSL_set_mode "clearloop_ssl_set_mode"(void* ssl, long mode)

    enum:
        SSL_ERROR_WANT_READ "2"
        SSL_ERROR_WANT_WRITE "3"
        SSL_ERROR_ZERO_RETURN "6"
        SSL_SENT_SHUTDOWN "1"
        SSL_RECEIVED_SHUTDOWN "2"
        MOVING_WRITE_BUFFER "0x02"  # SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
        AUTO_RETRY "0x04"
        RELEASE_BUFFERS "0x10"
