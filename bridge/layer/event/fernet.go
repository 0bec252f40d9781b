package event

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// Crypter encrypts events as channels_redis does with symmetric_encryption_keys: Fernet tokens
// (https://github.com/fernet/spec/blob/master/Spec.md) whose key is the SHA-256 of the configured one. It may be used by several goroutines.
type Crypter struct {
	keys []fernetKey
}

type fernetKey struct {
	signing []byte
	block   cipher.Block
}

// The parts of a token before its encrypted text, which are its version, the time in seconds and the initialisation vector; and after it.
const (
	fernetVersion = 0x80
	fernetTime    = 1
	fernetIV      = fernetTime + 8
	fernetText    = fernetIV + aes.BlockSize
	fernetHMAC    = sha256.Size
)

// clockSkew is for how long a token may come from the future: as the Python library has it.
const clockSkew = time.Minute

// NewCrypter returns a Crypter that encrypts with the first of the keys and decrypts with each; nil where there are none.
func NewCrypter(keys []string) *Crypter {
	if len(keys) == 0 {
		return nil
	}
	c := &Crypter{}
	for _, key := range keys {
		sum := sha256.Sum256([]byte(key))
		block, err := aes.NewCipher(sum[16:])
		if err != nil {
			panic(err) // 16 bytes are a key
		}
		c.keys = append(c.keys, fernetKey{signing: sum[:16], block: block})
	}
	return c
}

// Encrypt appends to dst the token of an event, made now.
func (c *Crypter) Encrypt(dst, event []byte, now time.Time) []byte {
	padding := aes.BlockSize - len(event)%aes.BlockSize
	token := make([]byte, fernetText, fernetText+len(event)+padding+fernetHMAC)
	token[0] = fernetVersion
	binary.BigEndian.PutUint64(token[fernetTime:], uint64(now.Unix()))
	rand.Read(token[fernetIV:])
	token = append(token, event...)
	token = append(token, bytes.Repeat([]byte{byte(padding)}, padding)...)
	key := c.keys[0]
	text := token[fernetText:]
	cipher.NewCBCEncrypter(key.block, token[fernetIV:fernetText]).CryptBlocks(text, text)
	return base64.URLEncoding.AppendEncode(dst, key.sign(token, token))
}

// Decrypt appends to dst the event of a token. ok is false where none of the keys made it, and where it is older than ttl (0 for any
// age) or more than a minute younger than now.
func (c *Crypter) Decrypt(dst, token []byte, now time.Time, ttl time.Duration) (event []byte, ok bool) {
	raw, err := base64.URLEncoding.AppendDecode(nil, token)
	text := len(raw) - fernetText - fernetHMAC
	if err != nil || text <= 0 || text%aes.BlockSize != 0 || raw[0] != fernetVersion {
		return dst, false
	}
	made := time.Unix(int64(binary.BigEndian.Uint64(raw[fernetTime:])), 0)
	if ttl > 0 && (made.Add(ttl).Before(now.Truncate(time.Second)) || now.Add(clockSkew).Before(made)) {
		return dst, false
	}
	signed, sum := raw[:fernetText+text], raw[fernetText+text:]
	for _, key := range c.keys {
		if !hmac.Equal(key.sign(nil, signed), sum) {
			continue
		}
		plain := signed[fernetText:]
		cipher.NewCBCDecrypter(key.block, raw[fernetIV:fernetText]).CryptBlocks(plain, plain)
		padding := int(plain[text-1])
		if padding == 0 || padding > aes.BlockSize || !bytes.Equal(plain[text-padding:], bytes.Repeat([]byte{byte(padding)}, padding)) {
			return dst, false
		}
		return append(dst, plain[:text-padding]...), true
	}
	return dst, false
}

// sign appends the signature of a token to dst.
func (k fernetKey) sign(dst, token []byte) []byte {
	mac := hmac.New(sha256.New, k.signing)
	mac.Write(token)
	return mac.Sum(dst)
}
