const fs = require('fs');
const { execFileSync } = require('child_process');

const die = (text) => { console.error(text); process.exit(1); };

// The asynchronous one runs on a thread of libuv's.
async function change() {
  fs.chownSync('f', 1, 1);
  fs.fchownSync(fs.openSync('f', 'r'), 1, 1);
  fs.lchownSync('l', 1, 1);
  await fs.promises.chown('f', 1, 1);
}

function drop() {
  process.setgroups([1]);
  process.setgid(1);
  process.setuid(1);
}

async function main(mode) {
  if (mode === 'chown') {
    await change();
    console.log('changed');
  } else if (mode === 'owner') {
    await change();
    const { uid, gid } = fs.statSync('f');
    if (uid !== 1 || gid !== 1) die(`still ${uid}:${gid}`);
    console.log('1:1');
  } else if (mode === 'drop') {
    drop();
    if (process.getuid() !== 1 || process.geteuid() !== 1) die(`still ${process.getuid()}`);
    const groups = [process.getgid(), process.getegid(), ...process.getgroups()];
    if (groups.some((id) => id !== 1)) die(`groups ${groups}`);
    try {
      process.setuid(0);
      die('root again');
    } catch (error) {
      if (error.code !== 'EPERM') throw error;
      console.log('dropped');
    }
  } else {
    drop();
    const child = execFileSync('id', ['-u'], { encoding: 'utf8' }).trim();
    if (child !== '1') die(`child is ${child}`);
    console.log('child is 1');
  }
}

main(process.argv[2]).catch((error) => die(error.message));
