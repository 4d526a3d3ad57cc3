// Package program is the running process: it opens the servers that the configuration names,
// starts the embedded ones that it does not, gives each role its parts, and runs and stops all of
// it in order. The commands of package main are its callers; tests run it on port 0.
//
// Run assembles in this order: ports, servers, migrations, the log, then the roles. Each role has a
// file that constructs its parts and hands them over: tasks that run until the process stops,
// functions that close what was opened, checks for /readyz, and what the API needs in
// [httpapi.Deps]. Nothing outside this package constructs more than one part.
//
// To add a part, construct it in the file of its role, register its Run with task and its Close
// with onClose. To add a role, add it to package config and a file here.
package program
