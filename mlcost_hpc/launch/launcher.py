"""The launcher as a program uses it: offers, choice, submission; one job or an array."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.errors import SlurmError, UsageError
from mlcost_hpc.launch.access import User, barred_partitions, enforces
from mlcost_hpc.launch.array import part_of, split
from mlcost_hpc.launch.budget_gate import BudgetGate
from mlcost_hpc.launch.choose import Choice, choose
from mlcost_hpc.launch.evidence import Evidence, gather_evidence
from mlcost_hpc.launch.fallback import deadline_plan, sure_place
from mlcost_hpc.launch.folders import new_run_dir
from mlcost_hpc.launch.limits import limits_on, notes_on, with_limits
from mlcost_hpc.launch.maker import ScriptMaker
from mlcost_hpc.launch.market import Market, read_market
from mlcost_hpc.launch.named import NamedFunction, check_function
from mlcost_hpc.launch.offers import Offer, list_offers
from mlcost_hpc.launch.qos_preemption import Outlook, outlook_notes, outlook_of, with_outlook
from mlcost_hpc.launch.record import (
    Submission,
    fingerprint,
    program_fingerprint,
    state_folder,
    utc_now,
    write_submission,
)
from mlcost_hpc.launch.render import Templates
from mlcost_hpc.launch.replan import write_plan
from mlcost_hpc.launch.rights import UNKNOWN, Rights, ask_sacctmgr, read_rights
from mlcost_hpc.launch.script import Budgets, JobScript, Processes, place_of
from mlcost_hpc.launch.sending import Sender
from mlcost_hpc.slurm.diagnose_preemption import EXIT_IN_GRACE_IS_PREEMPTION
from mlcost_hpc.slurm.patience import patiently

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcost_hpc.catalog import Catalog
    from mlcost_hpc.launch.array import ArrayOrder
    from mlcost_hpc.launch.history import History
    from mlcost_hpc.launch.interruption import Costs
    from mlcost_hpc.launch.need import Need
    from mlcost_hpc.launch.speed import Measurement
    from mlcost_hpc.rates import RateCard
    from mlcost_hpc.slurm.api import Slurm


class Launcher(ScriptMaker):
    """Chooses where work runs and submits it.

    Args:
        slurm: the cluster.
        catalog: the GPU models.
        card: today's prices.
        currency: what they are in.
        runs: folder in which every run gets a folder of its own.
        templates: the sbatch templates; None = the packaged ones.
        timeout_s: seconds after which sbatch is given up.
        user: who submits; None = whoever, so that no partition is barred.
        cluster: name for ``sbatch --clusters`` on a multi-cluster site; None = the local cluster.
        budgets: how often jobs may be requeued.
        gate: what the site's published budgets say. Whoever submits asks it first, with all that they send.
    """

    def __init__(
        self,
        slurm: Slurm,
        catalog: Catalog,
        card: RateCard,
        *,
        currency: str,
        runs: Path,
        templates: Templates | None = None,
        timeout_s: float = 60.0,
        user: User | None = None,
        cluster: str | None = None,
        budgets: Budgets = Budgets(),  # noqa: B008 - frozen
        gate: BudgetGate = BudgetGate(),  # noqa: B008 - frozen
    ) -> None:
        self.user = user
        self._budgets = budgets
        self.gate = gate
        self.slurm = slurm
        self.catalog = catalog
        self.card = card
        self.currency = currency
        self._runs = runs
        super().__init__(templates or Templates())
        self.sender = Sender(timeout_s, cluster)

    @cached_property
    def market(self) -> Market:
        """The cluster as it was when first looked at."""
        return patiently(lambda: read_market(self.slurm))

    @cached_property
    def offers(self) -> tuple[Offer, ...]:
        """Everything the cluster offers, whoever asks; :meth:`offers_for` knows what a job has to expect."""
        return list_offers(self.market, self.catalog, self.card)

    @cached_property
    def rights(self) -> Rights:
        """What the user's associations allow, where that decides something; nothing known without a user.

        It does where Slurm insists on associations, and where jobs preempt by QOS: theirs is the default one
        even where Slurm does not insist.
        """
        settings = self.market.settings
        decides = enforces(settings.enforce, "associations") or settings.preempt_type == "qos"
        if self.user is None or not decides:
            return UNKNOWN
        path = state_folder() / "rights" / f"{settings.cluster}.{self.user.name}.json"
        return read_rights(ask_sacctmgr, self.user.name, settings.cluster, path)

    def look_again(self) -> None:
        """Forget what the cluster was like; the next question asks it anew."""
        self.__dict__.pop("market", None)
        self.__dict__.pop("offers", None)
        self.__dict__.pop("rights", None)

    def outlook(self, need: Need) -> Outlook:
        """Return what a job has to expect where jobs preempt by QOS; nothing elsewhere."""
        partitions = {offer.partition for offer in self.offers}
        return outlook_of(need, self.rights, self.market.settings, partitions)

    def offers_for(self, need: Need) -> tuple[Offer, ...]:
        """Return everything the cluster offers, with whether a job of this need can be preempted there."""
        return with_outlook(self.offers, self.outlook(need))

    @property
    def max_array_tasks(self) -> int:
        """Most tasks one array may have here: Slurm limits the index, and some sites the number."""
        settings = self.market.settings
        return min(settings.max_array_size, settings.max_array_tasks or settings.max_array_size)

    def choose(self, need: Need, evidence: Evidence | None = None) -> Choice:
        """Return the ranked offers for a need.

        Args:
            need: what the job needs.
            evidence: what is known beyond the offers; None = nothing, so as to ask the cluster no more.

        Raises:
            NoOfferError: when nothing fits; names the nearest miss.
            BudgetError: when the cheapest costs more than the need's budget.
        """
        evidence, rights = evidence or self.evidence(), self.rights
        enforce = self.market.settings.enforce
        partitions = self.market.partitions
        barred = barred_partitions(partitions, need, self.user, rights, enforce) if self.user else {}
        limits, outlook = {}, self.outlook(need)
        if enforces(enforce, "limits"):
            limits = {item.name: limits_on(rights, need, item) for item in partitions}
        offers = with_limits(with_outlook(self.offers, outlook), limits)
        choice = choose(need, offers, self.catalog, self.card, evidence, barred)
        known = notes_on(rights, limits) if enforces(enforce, "associations") else ()
        return msgspec.structs.replace(choice, notes=(*choice.notes, *known, *outlook_notes(outlook)))

    def evidence(
        self,
        history: History | None = None,
        *,
        own: Sequence[Measurement] = (),
        others: Sequence[Measurement] = (),
        costs: Costs | None = None,
    ) -> Evidence:
        """Return evidence for a choice here.

        Args:
            history: the site's past.
            own: speeds measured on this job.
            others: speeds measured on other jobs.
            costs: what stopping costs this job.
        """
        return gather_evidence(self.market.settings, history, own, others, costs)

    def new_run_dir(self, name: str) -> Path:
        """Return a folder for a run that nothing has used yet; it is not made."""
        return new_run_dir(self._runs, name)

    def submit(
        self,
        command: Sequence[str],
        choice: Choice,
        *,
        name: str,
        run_dir: Path,
        processes: Processes = "one",
        comment: str = "",
        calibrates: bool = False,
    ) -> Submission:
        """Submit a command line as one job.

        Args:
            command: the words of the command.
            choice: where it goes.
            name: job name.
            run_dir: its folder; made private when it is missing.
            processes: how many of it are started on each node, and by whom.
            comment: job comment.
            calibrates: it runs only to be measured, and is not requeued.

        Raises:
            SlurmError: when sbatch fails; its own words are in the message.
        """
        script = self.script(
            command, choice, name=name, run_dir=run_dir, processes=processes, comment=comment
        )
        if calibrates:
            once = Budgets(preemptions=0, timeouts=0, signals=0, errors=0)
            script = msgspec.structs.replace(script, budgets=once, replan="")
        self.lay_plan(script, choice)
        job_id = self._send(script)
        script = msgspec.structs.replace(script, command=tuple(command))
        return self.record(script, choice, job_id, calibrates=calibrates)

    def submit_function(
        self, function: str, choice: Choice, *, name: str, run_dir: Path, comment: str = ""
    ) -> Submission:
        """Submit ``module:function`` as one job through submitit; its result is submitit's.

        Raises:
            UsageError: when there is no such module.
            SlurmError: when sbatch fails; its own words are in the message.
        """
        from mlcost_hpc.launch.executor import RenderingExecutor

        check_function(function, Path.cwd())
        script = self.function_script(choice, name=name, run_dir=run_dir, comment=comment)
        self.lay_plan(script, choice)
        executor = RenderingExecutor(run_dir, lambda _words, _part: self._send(script), self.sender)
        job = executor.submit(NamedFunction(function, Path.cwd()))
        record = msgspec.structs.replace(script, command=(function,))
        return self.record(record, choice, job.job_id)

    def submit_script(
        self,
        words: Sequence[str],
        options: Sequence[str],
        choice: Choice,
        *,
        name: str,
        run_dir: Path,
        log: str,
    ) -> Submission:
        """Submit a hand-written batch script as it is; the run folder keeps a copy.

        Args:
            words: the script and its arguments.
            options: options of sbatch for what the script leaves open.
            choice: where it goes.
            name: job name.
            run_dir: folder of the record.
            log: where the script's output goes, with Slurm's patterns.

        Raises:
            SlurmError: when sbatch fails; its own words are in the message.
        """
        from mlcost_hpc.launch.executor import SCRIPT, make_folder, send_text

        make_folder(run_dir)
        text = Path(words[0]).read_bytes()
        job_id = send_text(text, run_dir, SCRIPT, self.sender, options, arguments=words[1:])
        script = self.script(words, choice, name=name, run_dir=run_dir)
        return self.record(msgspec.structs.replace(script, output=str(Path(log).absolute())), choice, job_id)

    def submit_array(self, order: ArrayOrder, choice: Choice) -> tuple[Submission, ...]:
        """Submit an array; as several where the site allows fewer tasks in one.

        Raises:
            UsageError: when there are no tasks.
            SlurmError: when sbatch fails; its own words are in the message, and nothing stays submitted.
        """
        from mlcost_hpc.launch.executor import make_folder

        if order.tasks < 1:
            raise UsageError("an array needs at least one task")
        sent: list[Submission] = []
        try:
            for part in split(order.tasks, self.max_array_tasks):
                after = sent[-1].job_id if sent else ""
                one = part_of(order, msgspec.structs.replace(part, after=after))
                script = self.array_script(one, choice)
                make_folder(one.run_dir / "logs")
                self.lay_plan(script, choice)
                job_id = self._send(script)
                sent.append(self.record(script, choice, job_id, array_tasks=one.tasks))
        except BaseException:
            with suppress(SlurmError):
                self.sender.cancel([item.job_id for item in sent])
            raise
        return tuple(sent)

    def lay_plan(self, script: JobScript, choice: Choice) -> None:
        """Put the plan for a job's deadline into its folder, where its batch script finds it."""
        from mlcost_hpc.launch.executor import make_folder

        if not script.replan:
            return
        plan = deadline_plan(choice, self.offers, self.market.settings.requeue_delay_s, time.time())
        if plan is not None:
            make_folder(Path(script.run_dir))
            write_plan(Path(script.run_dir), plan)

    def record(
        self,
        script: JobScript,
        choice: Choice,
        job_id: str,
        *,
        array_tasks: int = 0,
        calibrates: bool = False,
    ) -> Submission:
        """Write down what was submitted and why, for ``mlcost why`` and ``mlcost status``."""
        submission = Submission(
            job_id=job_id,
            cluster=self.market.settings.cluster,
            name=script.name,
            run_dir=Path(script.run_dir),
            submitted=utc_now(),
            command=script.command,
            choice=choice,
            currency=self.currency,
            log=script.output.replace("%j", job_id),
            array_tasks=array_tasks,
            job=fingerprint(script.command, Path.cwd()),
            program=program_fingerprint(script.command, Path.cwd()),
            calibrates=calibrates,
        )
        write_submission(submission)
        return submission

    def _completed(self, script: JobScript, choice: Choice) -> JobScript:
        settings = self.market.settings
        script = msgspec.structs.replace(script, kill_wait_s=settings.kill_wait_s, budgets=self._budgets)
        sure = sure_place(choice) if choice.need.deadline_s is not None else None
        if sure is None:
            return script
        return msgspec.structs.replace(
            script,
            replan=sys.executable,
            leaves=settings.version >= EXIT_IN_GRACE_IS_PREEMPTION
            and "REQUEUE" in choice.best.offer.preempt_mode,
            places=(*script.places, place_of(sure)),
        )

    def _send(self, script: JobScript) -> str:
        from mlcost_hpc.launch.executor import SCRIPT, make_folder, send_text

        make_folder(Path(script.run_dir))
        return send_text(self.render(script).encode(), Path(script.run_dir), SCRIPT, self.sender)
