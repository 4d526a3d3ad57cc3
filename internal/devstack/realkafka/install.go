package realkafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Version is the release of Apache Kafka that is run.
const Version = "4.4.0"

// oldestJava is the oldest Java that it runs on.
const oldestJava = 17

// installation is a Java and the jars of Kafka.
type installation struct {
	java string
	jars string // directory
}

// install finds Java, and brings Kafka's jars from Maven Central into the user's cache unless they
// are there.
func install(ctx context.Context) (installation, error) {
	java, err := findJava(ctx)
	if err != nil {
		return installation{}, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return installation{}, fmt.Errorf("find a place for kafka: %w", err)
	}
	home := filepath.Join(cache, "schoolbell", "kafka-"+Version)
	if _, err := os.Stat(home); err == nil {
		return installation{java, home}, nil
	}
	if err := download(ctx, home); err != nil {
		return installation{}, fmt.Errorf("bring kafka %s: %w", Version, err)
	}
	return installation{java, home}, nil
}

var javaVersion = regexp.MustCompile(`version "(\d+)`)

func findJava(ctx context.Context) (string, error) {
	java := "java"
	if home := os.Getenv("JAVA_HOME"); home != "" {
		java = filepath.Join(home, "bin", "java")
	}
	path, err := exec.LookPath(java)
	if err != nil {
		return "", errors.New("there is no java on this machine")
	}
	out, err := exec.CommandContext(ctx, path, "-version").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("java does not run: %w", err)
	}
	found := javaVersion.FindSubmatch(out)
	if found == nil {
		return "", fmt.Errorf("unexpected output of java -version: %.80q", out)
	}
	if v, err := strconv.Atoi(string(found[1])); err != nil || v < oldestJava {
		return "", fmt.Errorf("java is of version %s and kafka needs %d", found[1], oldestJava)
	}
	return path, nil
}

// The project that names Kafka, and a logger so that its complaints can be read.
const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>schoolbell</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>` + Version + `</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
`

// download has Maven collect the jars, and puts them in place in one step: several test programs
// may do this at the same time.
func download(ctx context.Context, home string) error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return errors.New("there is no mvn on this machine")
	}
	if err := os.MkdirAll(filepath.Dir(home), 0o755); err != nil {
		return err
	}
	project, err := os.MkdirTemp(filepath.Dir(home), "download-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(project)
	if err := os.WriteFile(filepath.Join(project, "pom.xml"), []byte(pom), 0o644); err != nil {
		return err
	}
	jars := filepath.Join(project, "jars")
	cmd := exec.CommandContext(ctx, mvn, "-q", "-B", "dependency:copy-dependencies",
		"-DincludeScope=runtime", "-DoutputDirectory="+jars)
	cmd.Dir = project
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("run mvn: %w: %s", err, lastLines(string(out), 5))
	}
	if err := os.Rename(jars, home); err != nil {
		if _, statErr := os.Stat(home); statErr == nil {
			return nil // another was faster
		}
		return err
	}
	return nil
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
