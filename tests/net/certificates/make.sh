#!/bin/sh
# Makes the certificates of the TLS tests anew, with the command openssl.  The keys are in the repository: they protect
# nothing.
#   ca.pem         the authority that the tests trust
#   localhost.pem  a server's, from ca, for localhost, 127.0.0.1 and ::1, with its key
#   rsa.pem        the same with an RSA key
#   client.pem     a client's, from ca, with its key
#   stranger.pem   a server's for localhost that nobody has signed, with its key
#   expired.pem    as localhost.pem, but long expired
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
names="subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"
ec="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
openssl req -x509 $ec -keyout "$work/ca.key" -out ca.pem -days 36500 -subj "/CN=clearloop test authority" \
  -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
leaf() { # NAME KEY-OPTIONS SUBJECT EXTENSION DAYS
  openssl req $2 -keyout "$work/$1.key" -out "$work/$1.csr" -subj "$3" 2>/dev/null
  printf "%s\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n" "$4" >"$work/$1.ext"
  openssl x509 -req -in "$work/$1.csr" -CA ca.pem -CAkey "$work/ca.key" -CAcreateserial -CAserial "$work/serial" \
    -days "$5" -extfile "$work/$1.ext" -out "$work/$1.crt" 2>/dev/null
  cat "$work/$1.crt" "$work/$1.key" >"$1.pem"
}
leaf localhost "$ec" /CN=localhost "$names" 36400
leaf rsa "-newkey rsa:2048 -nodes" /CN=localhost "$names" 36400
leaf client "$ec" "/CN=a client" extendedKeyUsage=clientAuth 36400
leaf expired "$ec" /CN=localhost "$names" -1 || true
openssl req -x509 $ec -keyout "$work/stranger.key" -out "$work/stranger.crt" -days 36500 -subj /CN=localhost \
  -addext "$names" 2>/dev/null
cat "$work/stranger.crt" "$work/stranger.key" >stranger.pem
