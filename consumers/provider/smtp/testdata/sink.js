// A mail server of smtp-tester that prints each message as a line of JSON.
const server = require('smtp-tester').init(Number(process.argv[2]));
server.bind('anne@home.example', (address, id, mail) => console.log(JSON.stringify({
  address, from: mail.sender, subject: mail.headers.subject, language: mail.headers['content-language'], text: mail.body, html: mail.html,
})));
console.log('{}');
process.stdin.resume().on('end', () => process.exit(0));
