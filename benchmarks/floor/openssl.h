/* OpenSSL without its headers: the machine that measures needs the library that its Python uses, and nothing else.
 *
 * The prototypes are those of OpenSSL's manual pages (1.1.1 and later); all pointers are opaque here.
 */
#ifndef FLOOR_OPENSSL_H
#define FLOOR_OPENSSL_H
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    OPENSSL_WANT_READ = 2,
    OPENSSL_WANT_WRITE = 3,
    OPENSSL_FILETYPE_PEM = 1,
    OPENSSL_CTRL_MODE = 33,
    OPENSSL_CTRL_SET_READ_AHEAD = 41,
    OPENSSL_MODE_ANY_BUFFER = 2,
};

static const void *(*TLS_server_method)(void), *(*TLS_client_method)(void);
static void *(*SSL_CTX_new)(const void *method);
static int (*SSL_CTX_use_certificate_chain_file)(void *context, const char *file);
static int (*SSL_CTX_use_PrivateKey_file)(void *context, const char *file, int type);
static long (*SSL_CTX_ctrl)(void *context, int command, long number, void *pointer);
static void *(*SSL_new)(void *context);
static void (*SSL_free)(void *ssl);
static int (*SSL_set_fd)(void *ssl, int fd);
static void (*SSL_set_accept_state)(void *ssl), (*SSL_set_connect_state)(void *ssl);
static int (*SSL_do_handshake)(void *ssl);
static int (*SSL_read)(void *ssl, void *buffer, int size);
static int (*SSL_write)(void *ssl, const void *data, int size);
static int (*SSL_shutdown)(void *ssl);
static int (*SSL_get_error)(const void *ssl, int result);
static int (*SSL_has_pending)(const void *ssl);
static void (*ERR_clear_error)(void);

static void *openssl_function(void *library, const char *name) {
    void *found = dlsym(library, name);
    if (!found) {
        fprintf(stderr, "no %s in the TLS library\n", name);
        exit(1);
    }
    return found;
}

static void load_openssl(void) {
    static const char *names[] = {"libssl.so.3", "libssl.so.1.1", "libssl.so", "libssl.dylib", NULL};
    void *library = NULL;
    for (const char **name = names; *name && !library; name++) library = dlopen(*name, RTLD_NOW | RTLD_GLOBAL);
    if (!library) {
        fprintf(stderr, "no OpenSSL to load: %s\n", dlerror());
        exit(1);
    }
#define OPENSSL_LOAD(name) *(void **)&name = openssl_function(library, #name)
    OPENSSL_LOAD(TLS_server_method);
    OPENSSL_LOAD(TLS_client_method);
    OPENSSL_LOAD(SSL_CTX_new);
    OPENSSL_LOAD(SSL_CTX_use_certificate_chain_file);
    OPENSSL_LOAD(SSL_CTX_use_PrivateKey_file);
    OPENSSL_LOAD(SSL_CTX_ctrl);
    OPENSSL_LOAD(SSL_new);
    OPENSSL_LOAD(SSL_free);
    OPENSSL_LOAD(SSL_set_fd);
    OPENSSL_LOAD(SSL_set_accept_state);
    OPENSSL_LOAD(SSL_set_connect_state);
    OPENSSL_LOAD(SSL_do_handshake);
    OPENSSL_LOAD(SSL_read);
    OPENSSL_LOAD(SSL_write);
    OPENSSL_LOAD(SSL_shutdown);
    OPENSSL_LOAD(SSL_get_error);
    OPENSSL_LOAD(SSL_has_pending);
    OPENSSL_LOAD(ERR_clear_error);
}

#endif
