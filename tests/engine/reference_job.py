"""The example of a guide to schedulers, as it stands there, but for two imports."""
# ruff: noqa: D200, ERA001, F401, F841, G004, I001, TRY300, TRY400, UP006, UP035, W293
# fmt: off

from typing import Dict, Any
from datetime import date
import logging

from jobsd import BaseScheduledJob
from jobsd import db_context as get_db_context

logger = logging.getLogger(__name__)


class MyNewJob(BaseScheduledJob):
    """
    Deskripsi job dalam Bahasa Indonesia.
    """

    # REQUIRED: Unique identifier
    job_id = "my_new_job"
    
    # REQUIRED: Deskripsi job
    description = "Deskripsi singkat job ini"
    
    # SCHEDULE: Pilih salah satu (cron atau interval)
    cron = "0 9 * * *"  # Setiap hari jam 9 pagi
    # interval_seconds = 3600  # Atau setiap 1 jam
    
    # OPTIONAL: Configuration
    enabled = True
    max_retries = 3
    retry_delay_seconds = 60

    async def execute(self) -> Dict[str, Any]:
        """
        Method utama yang akan dijalankan scheduler.
        
        Returns:
            Dict dengan keys:
                - success: bool
                - message: str
                - data: Optional[Any]
        """
        logger.info("Memulai MyNewJob...")
        
        try:
            # Business logic di sini
            async with get_db_context() as db:
                # Gunakan repository/service pattern
                # repo = MyRepository(db)
                # result = await repo.do_something()
                pass
            
            return {
                "success": True,
                "message": "Job berhasil dijalankan",
                "data": {
                    "processed": 100,
                }
            }
        
        except Exception as e:
            logger.error(f"Error dalam MyNewJob: {e}")
            raise
