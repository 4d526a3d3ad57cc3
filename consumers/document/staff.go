package document

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// StaffLinkValid is how long a link works that follows from its reader's role: nobody can look up
// whether a token of yesterday had it.
const StaffLinkValid = time.Hour

// staffMark begins the reader of a link that names its reader. No tag has this character.
const staffMark = "~"

// StaffURL returns a link for somebody who may read every document of the school by their role, and
// was sent none. It names the reader, sealed, so that it is known who follows it.
func (l *Links) StaffURL(hash string, reader Reader, now time.Time) string {
	return l.url(hash, staffMark+reader.seal(l.keys[0]), now.Add(StaffLinkValid))
}

// ofStaff returns the reader whom a link names; nil: it has a tag instead.
func (l *Link) ofStaff() *Reader {
	sealed, ok := strings.CutPrefix(l.reader, staffMark)
	if !ok {
		return nil
	}
	r, err := unseal(l.key, sealed)
	if err != nil {
		return &Reader{} // it is signed, so this is nobody's doing but our own
	}
	return &r
}

// sealer encrypts readers. The key is derived, as the other one signs.
func sealer(key []byte) cipher.AEAD {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("schoolbell reader of the staff"))
	block, err := aes.NewCipher(m.Sum(nil))
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // the block has 16 bytes
	}
	return aead
}

func (r Reader) seal(key []byte) string {
	name, err := json.Marshal(r)
	if err != nil {
		panic(err) // two texts can always be written
	}
	return base64.RawURLEncoding.EncodeToString(sealer(key).Seal(nil, nil, name, nil))
}

func unseal(key []byte, sealed string) (r Reader, err error) {
	b, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return r, err
	}
	name, err := sealer(key).Open(nil, nil, b, nil)
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(name, &r)
}
