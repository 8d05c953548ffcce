"""JupyterHub for a class on one machine: whoever has an account there logs in with its password.

`cargo lab hub` starts it and says in the environment where things are. All users share what is compiled and the data, and read
them alone; each works in a folder `labs` at home, with notebooks, checkpoints and running kernels of their own.
"""

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# Of the hub alone: its users, cookies and sessions.
STATE = Path(os.environ["LAB_HUB_STATE"])

c = get_config()  # noqa: F821

PORT = int(os.environ["LAB_HUB_PORT"])
c.JupyterHub.bind_url = f"http://{os.environ['LAB_HUB_ADDRESS']}:{PORT}"
# Between the hub, the proxy and the users' servers, on this machine alone.
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{PORT + 1}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{PORT + 2}"
c.JupyterHub.db_url = f"sqlite:///{STATE / 'jupyterhub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(STATE / "cookie_secret")
c.ConfigurableHTTPProxy.command = [os.environ["LAB_HUB_PROXY"]]
c.ConfigurableHTTPProxy.pid_file = str(STATE / "proxy.pid")
# The machine's own accounts; everyone who has one may come in.
c.JupyterHub.authenticator_class = "pam"
c.Authenticator.allow_all = True

c.Spawner.cmd = [str(Path(sys.executable).with_name("jupyterhub-singleuser"))]
c.Spawner.args = json.loads(os.environ["LAB_HUB_SERVER_ARGUMENTS"])
c.Spawner.default_url = "/lab"
c.Spawner.notebook_dir = "~/labs/notebooks"
c.Spawner.environment = {
    **json.loads(os.environ["LAB_HUB_SERVER_ENVIRONMENT"]),
    "LAB_OWN": lambda spawner: str(folder_of(spawner) / ".lab"),
    "JUPYTER_CONFIG_DIR": lambda spawner: str(folder_of(spawner) / ".lab/jupyter/config"),
    "JUPYTER_DATA_DIR": lambda spawner: str(folder_of(spawner) / ".lab/jupyter/data"),
    "JUPYTER_RUNTIME_DIR": lambda spawner: str(folder_of(spawner) / ".lab/jupyter/runtime"),
}


def folder_of(spawner):
    return Path(f"~{spawner.user.name}").expanduser() / "labs"


def prepare(spawner):
    account = pwd.getpwnam(spawner.user.name)
    command = [sys.executable, str(HERE / "prepare.py"), str(ROOT), str(folder_of(spawner))]
    rights = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    done = subprocess.run(command, **rights, cwd="/", env={}, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"the folder of {spawner.user.name} could not be made: {done.stderr}")


c.Spawner.pre_spawn_hook = prepare
# Kernels of a class that is gone do not hold the machine's memory.
c.JupyterHub.shutdown_on_logout = True
