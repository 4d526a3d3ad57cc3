package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/schoolbell/schoolbell/consumers/document"
	"github.com/schoolbell/schoolbell/internal/s3"
)

// Documents says where documents are stored and how links to them are signed.
type Documents struct {
	Endpoint  string `name:"s3-endpoint" env:"S3_ENDPOINT" placeholder:"https://…" help:"An S3-compatible store. Without one, documents are stored in the data directory, which all processes must then share."`
	Bucket    string `name:"s3-bucket" env:"S3_BUCKET" placeholder:"NAME" help:"Its bucket, which must exist."`
	Region    string `name:"s3-region" env:"S3_REGION" placeholder:"REGION" help:"The bucket's region; looked up if not given."`
	AccessKey string `name:"s3-access-key" env:"S3_ACCESS_KEY" placeholder:"KEY" help:"Access key."`
	SecretKey string `name:"s3-secret-key" env:"S3_SECRET_KEY" placeholder:"KEY" secret:"" help:"Secret key."`

	LinkKey    string `name:"link-key" env:"LINK_KEY" placeholder:"SECRET" secret:"" help:"Signs links to documents; 32 bytes or more. Without one, a key is generated and stored in the data directory."`
	OldLinkKey string `name:"old-link-key" env:"OLD_LINK_KEY" placeholder:"SECRET" secret:"" help:"The previous key, whose links remain valid."`
}

// LinkKeyFile holds the generated key of links, inside the data directory.
const LinkKeyFile = "link-key"

// Keys returns the keys of links, the signing one first. It generates and stores one in the data
// directory when none is configured.
func (d Documents) Keys(data string) ([][]byte, error) {
	key := d.LinkKey
	if key == "" {
		var err error
		if key, err = storedSecret(filepath.Join(data, LinkKeyFile)); err != nil {
			return nil, err
		}
	}
	keys := [][]byte{[]byte(key)}
	if d.OldLinkKey != "" {
		keys = append(keys, []byte(d.OldLinkKey))
	}
	return keys, nil
}

// S3 returns the configuration of package s3; its endpoint is empty when documents are stored in
// the data directory.
func (d Documents) S3() s3.Config {
	return s3.Config{
		Endpoint: d.Endpoint, Bucket: d.Bucket, Region: d.Region,
		AccessKey: d.AccessKey, SecretKey: d.SecretKey,
	}
}

func (d Documents) validate() error {
	var faults []error
	for _, k := range []struct{ name, value string }{
		{"documents-link-key", d.LinkKey}, {"documents-old-link-key", d.OldLinkKey},
	} {
		if k.value != "" && len(k.value) < document.MinKey {
			faults = append(
				faults,
				fmt.Errorf("%s: %d bytes, want %d or more", k.name, len(k.value), document.MinKey),
			)
		}
		faults = append(faults, refusePublished(k.name, k.value))
	}
	if strings.Join([]string{d.Endpoint, d.Bucket, d.Region, d.AccessKey, d.SecretKey}, "") != "" {
		faults = append(faults, d.S3().Validate())
	}
	return errors.Join(faults...)
}
