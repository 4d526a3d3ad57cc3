package webpush

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
)

// Keys come with a browser's subscription, in base64url.
type Keys struct {
	P256dh string `json:"p256dh" doc:"The browser's public key"`
	Auth   string `json:"auth" doc:"The secret that browser and application share"`
}

// decode parses the keys. They come from browsers, so that a bad one is a fault of the request.
func (k Keys) decode() (public *ecdh.PublicKey, secret []byte, err error) {
	point, err := decodeBase64(k.P256dh)
	if err == nil {
		public, err = ecdh.P256().NewPublicKey(point)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read key of subscription: %w", err)
	}
	if secret, err = decodeBase64(k.Auth); err != nil || len(secret) != 16 {
		return nil, nil, fmt.Errorf("read secret of subscription: want 16 bytes in base64url")
	}
	return public, secret, nil
}

// decodeBase64 decodes base64url; some browsers' libraries pad it, or use the other alphabet.
func decodeBase64(s string) ([]byte, error) {
	s = strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(s, "="))
	return base64.RawURLEncoding.DecodeString(s)
}

const (
	recordSize = 4096
	// without the tag, and the byte that ends the text
	maxPlain   = recordSize - 16 - 1 - headerSize
	headerSize = 16 + 4 + 1 + 65
	padding    = 256 // lengths are rounded up to a multiple, to reveal less
)

// encrypt writes a message that only the browser can read (RFC 8291): one record of aes128gcm (RFC
// 8188) under a key derived from the browser's key and from own, which is used for this message
// only.
func encrypt(plain []byte, k Keys, own *ecdh.PrivateKey, salt []byte, padded int) ([]byte, error) {
	theirs, secret, err := k.decode()
	if err != nil {
		return nil, err
	}
	shared, err := own.ECDH(theirs)
	if err != nil {
		return nil, fmt.Errorf("agree on a key: %w", err)
	}
	public := own.PublicKey().Bytes()
	material, err := hkdf.Key(sha256.New, shared, secret,
		"WebPush: info\x00"+string(theirs.Bytes())+string(public), 32)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, material, salt, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return nil, err
	}
	nonce, err := hkdf.Key(sha256.New, material, salt, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	sealer, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, recordSize)
	out = append(out, salt...)
	out = binary.BigEndian.AppendUint32(out, recordSize)
	out = append(out, byte(len(public)))
	out = append(out, public...)
	record := append(append(make([]byte, 0, recordSize), plain...), 2)
	for len(record) < padded {
		record = append(record, 0)
	}
	return sealer.Seal(out, nonce, record, nil), nil
}
