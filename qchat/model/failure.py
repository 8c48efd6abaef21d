"""What a client is told of a turn that brought no answer: one row for every error code."""

from attrs import frozen


@frozen
class Failure:
    """HTTP status for a caller that waited, texts and advice by language."""

    status: int
    zh: str
    en: str
    suggestions_zh: tuple[str, ...] = ()
    suggestions_en: tuple[str, ...] = ()
    retry_after: int | None = None
    """Seconds after which the same request has a chance again, where that is known."""

    def text(self, lang: str, detail: str) -> str:
        text = self.zh if lang == "zh" else self.en
        return text.replace("...", detail) if detail else text.removesuffix(": ...")

    def suggestions(self, lang: str) -> list[str]:
        return list(self.suggestions_zh if lang == "zh" else self.suggestions_en)


FAILURES = {
    "QCLI_PROCESSING_ERROR": Failure(
        503,
        "AI处理失败: ...",
        "the agent failed: ...",
        ("请稍后重试", "如果问题持续，请联系管理员"),
        ("try again later", "if it goes on, ask the operator"),
    ),
    "QCLI_AUTH_ERROR": Failure(
        401,
        "AI服务未登录或登录已过期",
        "the agent is not logged in, or its login has expired",
        ("请管理员重新登录：q login（或 kiro-cli login）",),
        ("the operator has to log in again: q login (or kiro-cli login)",),
    ),
    "QCLI_THROTTLED": Failure(
        503,
        "AI服务请求过于频繁，请稍后重试",
        "the agent's service is throttling, try again later",
        ("请等待一分钟后重试",),
        ("wait a minute and try again",),
        retry_after=60,
    ),
    "QCLI_UNAVAILABLE": Failure(
        503,
        "AI服务不可用: ...",
        "the agent CLI cannot be run: ...",
        ("请管理员运行 qchat-admin doctor 检查",),
        ("the operator should run: qchat-admin doctor",),
    ),
    "QCLI_TIMEOUT": Failure(
        408,
        "AI处理超时，请稍后重试",
        "the agent took too long, try again later",
        ("请将问题拆分后重试",),
        ("try a smaller task",),
    ),
    "OUTPUT_LIMIT": Failure(
        503, "AI输出超过上限，已停止", "the agent wrote more than is allowed and was stopped"
    ),
    "QUOTA_EXCEEDED": Failure(
        507,
        "会话工作目录超过配额，已停止",
        "the session's workspace exceeds its quota, and the turn was stopped",
        ("请删除不需要的文件后重试",),
        ("delete files that are not needed and try again",),
    ),
    "STORAGE_FULL": Failure(507, "存储空间不足，已停止", "the disk is full, and the turn was stopped"),
    "INTERRUPTED": Failure(
        503,
        "服务重启，本轮对话被中断",
        "the service ended while this turn was running",
        ("请确认是否需要重新发送",),
        ("check what it has done, then send it again if needed",),
    ),
}


def failure(code: str | None) -> Failure:
    """The row for ``code``; a code of a later release is treated as a processing error."""
    return FAILURES.get(code or "", FAILURES["QCLI_PROCESSING_ERROR"])
